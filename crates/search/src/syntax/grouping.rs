//! Groups tokens into top-level nodes, in the passes and the order of the reference. The inner structure of a node
//! matters only for comparisons, so nothing else is kept, and every pass is one traversal of a flat list.

use super::{
    lexer::{Kind, Token},
    nodes::{Grouper, JoinRule, Limit, MAX_DEPTH, MAX_TOKENS, Node, Reach, TokenView, fold, last_non_space},
};

/// Groups the tokens of one statement.
pub(crate) fn group(text: &str, tokens: &[Token]) -> Result<Vec<Node>, Limit> {
    let nodes = comments(tokens);
    if nodes.len() > MAX_TOKENS {
        return Err(Limit::Tokens);
    }
    let grouper = Grouper { text };
    let nodes = grouper.pairs(nodes, Kind::SquareBrackets, |t| t.is("["), |t| t.is("]"))?;
    let nodes = grouper.pairs(nodes, Kind::Parenthesis, |t| t.is("("), |t| t.is(")"))?;
    let nodes = grouper.pairs(nodes, Kind::Case, |t| t.is_word("CASE"), |t| t.is_word("END"))?;
    let nodes = grouper.pairs(nodes, Kind::If, |t| t.is_word("IF"), |t| t.is_word("END IF"))?;
    let nodes =
        grouper.pairs(nodes, Kind::For, |t| t.is_word("FOR") || t.is_word("FOREACH"), |t| t.is_word("END LOOP"))?;
    let nodes = grouper.pairs(nodes, Kind::Begin, |t| t.is_word("BEGIN"), |t| t.is_word("END"))?;
    let nodes = grouper.over(nodes);
    let nodes = grouper.functions(nodes);
    let nodes = grouper.wheres(nodes);
    let nodes = grouper.periods(nodes);
    let nodes = grouper.arrays(nodes);
    let nodes = identifiers(nodes);
    let nodes = orders(nodes);
    let nodes = grouper.casts(nodes);
    let nodes = grouper.typed_literals(nodes);
    let nodes = grouper.operations(nodes)?;
    let nodes = grouper.comparisons(nodes);
    let nodes = grouper.aliases(nodes);
    let nodes = attach_comments(nodes);
    let nodes = grouper.lists(nodes);
    Ok(grouper.values(nodes))
}

fn literal_or_name(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Integer | Kind::Float | Kind::SingleQuoted | Kind::DoubleQuoted | Kind::Name | Kind::Placeholder
    )
}

/// Merges adjacent comments and line ends into one comment, except at the end of the text.
fn comments(tokens: &[Token]) -> Vec<Node> {
    let is_part = |kind: Kind| kind.is_raw_comment() || kind == Kind::Newline;
    let mut nodes = Vec::with_capacity(tokens.len().min(MAX_TOKENS + 1));
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        if !token.kind.is_raw_comment() {
            nodes.push(Node::leaf(*token));
            index += 1;
            continue;
        }
        let end = index + tokens[index..].iter().take_while(|token| is_part(token.kind)).count();
        if end == tokens.len() {
            nodes.extend(tokens[index..].iter().copied().map(Node::leaf));
            break;
        }
        let group = Token { kind: Kind::Comment, start: token.start, end: tokens[end - 1].end };
        nodes.push(Node { token: group, depth: 1, comparison: None });
        index = end;
    }
    nodes
}

/// Turns names into identifiers.
fn identifiers(mut nodes: Vec<Node>) -> Vec<Node> {
    for node in &mut nodes {
        if matches!(node.kind(), Kind::Name | Kind::DoubleQuoted) {
            *node = Node::over(Kind::Identifier, std::slice::from_ref(node));
        }
    }
    nodes
}

/// Attaches `ASC` and `DESC` to the preceding identifier or number.
fn orders(nodes: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let start = last_non_space(&out).filter(|&at| {
            node.kind() == Kind::Order && (out[at].kind() == Kind::Identifier || out[at].kind().is_number())
        });
        out.push(node);
        if let Some(start) = start {
            fold(&mut out, start, Kind::Identifier, false);
        }
    }
    out
}

/// Attaches a comment to the preceding group.
fn attach_comments(nodes: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let start = last_non_space(&out).filter(|&at| node.kind() == Kind::Comment && out[at].kind().is_group());
        let Some(start) = start else {
            out.push(node);
            continue;
        };
        out.truncate(start + 1);
        out[start].absorb(&node);
        if let Some(comparison) = &mut out[start].comparison {
            comparison.extra += 1;
        }
    }
    out
}

impl Grouper<'_> {
    fn over(self, nodes: Vec<Node>) -> Vec<Node> {
        self.group_pairs(
            nodes,
            Kind::Over,
            false,
            |view| view.is_word("OVER"),
            |next| matches!(next, Kind::Parenthesis | Kind::Name | Kind::Builtin | Kind::Placeholder),
        )
    }

    /// Groups a name and a parenthesis into a function call, unless the text creates a table.
    fn functions(self, nodes: Vec<Node>) -> Vec<Node> {
        let has = |word: &str| nodes.iter().any(|node| self.view(node.token).text.eq_ignore_ascii_case(word));
        if has("CREATE") && has("TABLE") && !has("AS") {
            return nodes;
        }
        let called = self.group_pairs(
            nodes,
            Kind::Function,
            false,
            |view| matches!(view.token.kind, Kind::Name | Kind::Builtin | Kind::Placeholder),
            |next| next == Kind::Parenthesis,
        );
        self.group_pairs(
            called,
            Kind::Function,
            true,
            |view| view.token.kind == Kind::Function,
            |next| next == Kind::Over,
        )
    }

    fn wheres(self, nodes: Vec<Node>) -> Vec<Node> {
        const ENDS: [&str; 10] = [
            "ORDER BY",
            "GROUP BY",
            "LIMIT",
            "UNION",
            "UNION ALL",
            "EXCEPT",
            "INTERSECT",
            "HAVING",
            "RETURNING",
            "INTO",
        ];
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        let mut start = None;
        for node in nodes {
            let view = self.view(node.token);
            if let Some(open) = start
                && ENDS.iter().any(|end| view.is_word(end))
            {
                fold(&mut out, open, Kind::Where, false);
                start = None;
            }
            if start.is_none() && view.is_word("WHERE") {
                start = Some(out.len());
            }
            out.push(node);
        }
        if let Some(open) = start {
            fold(&mut out, open, Kind::Where, false);
        }
        out
    }

    fn periods(self, nodes: Vec<Node>) -> Vec<Node> {
        self.join(
            nodes,
            &JoinRule {
                kind: Kind::Identifier,
                extend: true,
                is_middle: |view: TokenView<'_>| {
                    view.is(".") || (view.token.kind == Kind::Operator && matches!(view.text, "->" | "->>"))
                },
                is_before: |view: TokenView<'_>| {
                    matches!(view.token.kind, Kind::SquareBrackets | Kind::Identifier | Kind::Name | Kind::DoubleQuoted)
                },
                is_behind: |_: Option<TokenView<'_>>| true,
                reach: |next: Option<Kind>| match next {
                    Some(
                        Kind::SquareBrackets
                        | Kind::Function
                        | Kind::Name
                        | Kind::DoubleQuoted
                        | Kind::Wildcard
                        | Kind::SingleQuoted,
                    ) => Reach::Around,
                    _ => Reach::Back,
                },
            },
        )
    }

    fn arrays(self, nodes: Vec<Node>) -> Vec<Node> {
        self.join(
            nodes,
            &JoinRule {
                kind: Kind::Identifier,
                extend: true,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::SquareBrackets,
                is_before: |view: TokenView<'_>| {
                    matches!(
                        view.token.kind,
                        Kind::SquareBrackets | Kind::Identifier | Kind::Function | Kind::Name | Kind::DoubleQuoted
                    )
                },
                is_behind: |_: Option<TokenView<'_>>| true,
                reach: |_: Option<Kind>| Reach::Back,
            },
        )
    }

    /// `a::int` and `a AT TIME ZONE 'x'`.
    fn casts(self, nodes: Vec<Node>) -> Vec<Node> {
        let typed = self.join(
            nodes,
            &JoinRule {
                kind: Kind::Identifier,
                extend: true,
                is_middle: |view: TokenView<'_>| view.is("::"),
                is_before: |_: TokenView<'_>| true,
                is_behind: |next: Option<TokenView<'_>>| next.is_some(),
                reach: |_: Option<Kind>| Reach::Around,
            },
        );
        self.join(
            typed,
            &JoinRule {
                kind: Kind::Identifier,
                extend: true,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::TimeZoneCast,
                is_before: |_: TokenView<'_>| true,
                is_behind: |next: Option<TokenView<'_>>| {
                    next.is_some_and(|view| view.is_word("AS") || view.token.kind == Kind::SingleQuoted)
                },
                reach: |_: Option<Kind>| Reach::Around,
            },
        )
    }

    /// `date '2001-09-28'` and `interval '2' hour`, but not at the start.
    fn typed_literals(self, nodes: Vec<Node>) -> Vec<Node> {
        let literals = self.join(
            nodes,
            &JoinRule {
                kind: Kind::TypedLiteral,
                extend: false,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::Builtin || view.is_word("TIMESTAMP"),
                is_before: |_: TokenView<'_>| true,
                is_behind: |next: Option<TokenView<'_>>| next.is_some_and(|view| view.token.kind == Kind::SingleQuoted),
                reach: |_: Option<Kind>| Reach::Ahead,
            },
        );
        self.join(
            literals,
            &JoinRule {
                kind: Kind::TypedLiteral,
                extend: true,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::TypedLiteral,
                is_before: |_: TokenView<'_>| true,
                is_behind: |next: Option<TokenView<'_>>| {
                    next.is_some_and(|view| {
                        ["DAY", "HOUR", "MINUTE", "MONTH", "SECOND", "YEAR"].iter().any(|unit| view.is_word(unit))
                    })
                },
                reach: |_: Option<Kind>| Reach::Ahead,
            },
        )
    }

    fn operations(self, nodes: Vec<Node>) -> Result<Vec<Node>, Limit> {
        let is_operand = |view: TokenView<'_>| {
            literal_or_name(view.token.kind)
                || matches!(
                    view.token.kind,
                    Kind::SquareBrackets
                        | Kind::Parenthesis
                        | Kind::Function
                        | Kind::Identifier
                        | Kind::Operation
                        | Kind::TypedLiteral
                )
                || ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"].iter().any(|now| view.is_word(now))
        };
        let nodes = self.join(
            nodes,
            &JoinRule {
                kind: Kind::Operation,
                extend: false,
                is_middle: |view: TokenView<'_>| matches!(view.token.kind, Kind::Operator | Kind::Wildcard),
                is_before: is_operand,
                is_behind: |next: Option<TokenView<'_>>| next.is_some_and(is_operand),
                reach: |_: Option<Kind>| Reach::Around,
            },
        );
        if nodes.iter().any(|node| node.depth > MAX_DEPTH) { Err(Limit::Depth) } else { Ok(nodes) }
    }

    fn comparisons(self, nodes: Vec<Node>) -> Vec<Node> {
        let is_operand = |view: TokenView<'_>| {
            literal_or_name(view.token.kind)
                || matches!(
                    view.token.kind,
                    Kind::Parenthesis | Kind::Function | Kind::Identifier | Kind::Operation | Kind::TypedLiteral
                )
                || view.is_null()
        };
        self.join(
            nodes,
            &JoinRule {
                kind: Kind::Comparison,
                extend: false,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::ComparisonSign,
                is_before: is_operand,
                is_behind: |next: Option<TokenView<'_>>| next.is_some_and(is_operand),
                reach: |_: Option<Kind>| Reach::Around,
            },
        )
    }

    /// `x AS y`, then `x y`, then `x := y`.
    fn aliases(self, nodes: Vec<Node>) -> Vec<Node> {
        let named = self.join(
            nodes,
            &JoinRule {
                kind: Kind::Identifier,
                extend: true,
                is_middle: |view: TokenView<'_>| view.is_word("AS"),
                is_before: |view: TokenView<'_>| view.is_null() || !view.token.kind.is_keyword(),
                is_behind: |next: Option<TokenView<'_>>| {
                    next.is_some_and(|view| !matches!(view.token.kind, Kind::Dml | Kind::Ddl | Kind::Cte))
                },
                reach: |_: Option<Kind>| Reach::Around,
            },
        );
        let aliased = self.group_pairs(
            named,
            Kind::Identifier,
            true,
            |view| {
                view.token.kind.is_number()
                    || matches!(
                        view.token.kind,
                        Kind::Parenthesis
                            | Kind::Function
                            | Kind::Case
                            | Kind::Identifier
                            | Kind::Operation
                            | Kind::Comparison
                    )
            },
            |next| next == Kind::Identifier,
        );
        self.assignments(aliased)
    }

    /// `x := …`, up to the semicolon if there is one.
    fn assignments(self, nodes: Vec<Node>) -> Vec<Node> {
        let is_value = |view: TokenView<'_>| view.token.kind != Kind::Keyword;
        let joined = self.join(
            nodes,
            &JoinRule {
                kind: Kind::Assignment,
                extend: true,
                is_middle: |view: TokenView<'_>| view.token.kind == Kind::AssignmentSign,
                is_before: is_value,
                is_behind: |next: Option<TokenView<'_>>| next.is_some_and(is_value),
                reach: |_: Option<Kind>| Reach::Around,
            },
        );
        let mut out: Vec<Node> = Vec::with_capacity(joined.len());
        let mut open = None;
        for node in joined {
            let closes = self.view(node.token).is(";");
            if node.kind() == Kind::Assignment && open.is_none() {
                open = Some(out.len());
            }
            out.push(node);
            if closes && let Some(start) = open.take() {
                fold(&mut out, start, Kind::Assignment, true);
            }
        }
        out
    }

    fn lists(self, nodes: Vec<Node>) -> Vec<Node> {
        let is_item = |view: TokenView<'_>| {
            literal_or_name(view.token.kind)
                || matches!(
                    view.token.kind,
                    Kind::Function
                        | Kind::Case
                        | Kind::Identifier
                        | Kind::Comparison
                        | Kind::IdentifierList
                        | Kind::Operation
                        | Kind::Keyword
                        | Kind::Wildcard
                )
        };
        self.join(
            nodes,
            &JoinRule {
                kind: Kind::IdentifierList,
                extend: true,
                is_middle: |view: TokenView<'_>| view.is(","),
                is_before: is_item,
                is_behind: |next: Option<TokenView<'_>>| next.is_some_and(is_item),
                reach: |_: Option<Kind>| Reach::Around,
            },
        )
    }

    /// `VALUES` up to the last parenthesis after it.
    fn values(self, mut nodes: Vec<Node>) -> Vec<Node> {
        let Some(start) = nodes.iter().position(|node| self.view(node.token).is_word("VALUES")) else { return nodes };
        let last = nodes[start..].iter().rposition(|node| node.kind() == Kind::Parenthesis);
        if let Some(last) = last {
            let behind = nodes.split_off(start + last + 1);
            fold(&mut nodes, start, Kind::Values, true);
            nodes.extend(behind);
        }
        nodes
    }
}
