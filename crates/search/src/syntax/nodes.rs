//! Top-level nodes and the ways to group them.

use super::lexer::{Kind, Token};

/// Maximum nesting of groups, as in the reference.
pub(crate) const MAX_DEPTH: usize = 100;
/// Maximum number of tokens, as in the reference.
pub(crate) const MAX_TOKENS: usize = 10_000;

/// The limit that a text exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Depth,
    Tokens,
}

impl Limit {
    /// The message of the reference.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Depth => format!("Maximum grouping depth exceeded ({MAX_DEPTH})."),
            Self::Tokens => format!("Maximum number of tokens exceeded ({MAX_TOKENS})."),
        }
    }
}

/// A token or a group of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) token: Token,
    /// Nesting depth of groups, this one included.
    pub(crate) depth: usize,
    pub(crate) comparison: Option<Box<Comparison>>,
}

/// The parts of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) left: Token,
    pub(crate) sign: Token,
    pub(crate) right: Token,
    /// Number of comments attached to the group.
    pub(crate) extra: usize,
}

impl Node {
    pub(crate) fn leaf(token: Token) -> Self {
        Self { token, depth: 0, comparison: None }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.token.kind
    }

    /// A node that spans `nodes`, which are adjacent and not empty.
    pub(crate) fn over(kind: Kind, nodes: &[Self]) -> Self {
        let start = nodes.first().map_or(0, |node| node.token.start);
        let end = nodes.last().map_or(start, |node| node.token.end);
        let depth = nodes.iter().map(|node| node.depth).max().unwrap_or(0) + 1;
        Self { token: Token { kind, start, end }, depth, comparison: None }
    }

    pub(crate) fn absorb(&mut self, node: &Self) {
        self.token.end = node.token.end;
        self.depth = self.depth.max(node.depth + 1);
    }
}

/// A token with its text.
#[derive(Clone, Copy)]
pub(crate) struct TokenView<'a> {
    pub(crate) token: Token,
    pub(crate) text: &'a str,
}

impl TokenView<'_> {
    pub(crate) fn is(self, punctuation: &str) -> bool {
        self.token.kind == Kind::Punctuation && self.text == punctuation
    }

    pub(crate) fn is_word(self, keyword: &str) -> bool {
        self.token.kind == Kind::Keyword && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn is_null(self) -> bool {
        self.token.kind.is_keyword() && self.text.eq_ignore_ascii_case("NULL")
    }
}

/// Groups tokens around a middle token.
pub(crate) struct JoinRule<M, P, N, R> {
    pub(crate) kind: Kind,
    /// Extends a preceding group of the same kind instead of nesting it.
    pub(crate) extend: bool,
    pub(crate) is_middle: M,
    pub(crate) is_before: P,
    pub(crate) is_behind: N,
    pub(crate) reach: R,
}

/// Which neighbours of the middle token belong to the group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Around,
    Back,
    Ahead,
}

/// The last node that is not white space.
pub(crate) fn last_non_space(nodes: &[Node]) -> Option<usize> {
    nodes.iter().rposition(|node| !node.kind().is_space())
}

/// Replaces the nodes from `start` on by one group.
pub(crate) fn fold(nodes: &mut Vec<Node>, start: usize, kind: Kind, extend: bool) {
    let mut parts = nodes.split_off(start);
    let group = if extend && parts[0].kind() == kind {
        let mut first = parts.swap_remove(0);
        if let Some(last) = parts.first() {
            first.absorb(last);
        }
        first
    } else {
        Node::over(kind, &parts)
    };
    nodes.push(group);
}

#[derive(Clone, Copy)]
pub(crate) struct Grouper<'a> {
    pub(crate) text: &'a str,
}

impl<'a> Grouper<'a> {
    pub(crate) fn view(self, token: Token) -> TokenView<'a> {
        TokenView { token, text: &self.text[token.start..token.end] }
    }

    /// Groups from an opening token to its closing one. Unmatched tokens are kept.
    pub(crate) fn pairs(
        self,
        nodes: Vec<Node>,
        kind: Kind,
        opens: fn(TokenView<'_>) -> bool,
        closes: fn(TokenView<'_>) -> bool,
    ) -> Result<Vec<Node>, Limit> {
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        let mut open = Vec::new();
        for node in nodes {
            let view = self.view(node.token);
            let start = if opens(view) {
                open.push(out.len());
                None
            } else if closes(view) {
                open.pop()
            } else {
                None
            };
            out.push(node);
            if let Some(start) = start {
                fold(&mut out, start, kind, false);
                if out[start].depth > MAX_DEPTH {
                    return Err(Limit::Depth);
                }
            }
        }
        Ok(out)
    }

    /// Groups a token with the following one.
    pub(crate) fn group_pairs(
        self,
        nodes: Vec<Node>,
        kind: Kind,
        extend: bool,
        is_first: impl Fn(TokenView<'a>) -> bool,
        is_next: impl Fn(Kind) -> bool,
    ) -> Vec<Node> {
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        let mut waiting: Option<usize> = None;
        for node in nodes {
            let view = self.view(node.token);
            let is_space = view.token.kind.is_space();
            let start = waiting.filter(|_| !is_space && is_next(view.token.kind));
            out.push(node);
            if let Some(start) = start {
                fold(&mut out, start, kind, extend);
                waiting = None;
            } else if !is_space {
                waiting = is_first(view).then(|| out.len() - 1);
            }
        }
        out
    }

    /// Groups tokens around middle tokens, from left to right. As in the reference, the token that ended a group may
    /// still be a middle token itself, or the left neighbour of the next one.
    pub(crate) fn join<M, P, N, R>(self, nodes: Vec<Node>, rule: &JoinRule<M, P, N, R>) -> Vec<Node>
    where
        M: Fn(TokenView<'a>) -> bool,
        P: Fn(TokenView<'a>) -> bool,
        N: Fn(Option<TokenView<'a>>) -> bool,
        R: Fn(Option<Kind>) -> Reach,
    {
        let tokens: Vec<Token> = nodes.iter().map(|node| node.token).collect();
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        let mut before: Option<(usize, Token)> = None;
        let mut absorbed_to = None;
        for (index, node) in nodes.into_iter().enumerate() {
            let view = self.view(node.token);
            let is_space = view.token.kind.is_space();
            if absorbed_to.is_some_and(|last| index <= last) {
                if let Some(group) = out.last_mut() {
                    group.absorb(&node);
                    if let Some(comparison) = group.comparison.as_mut().filter(|_| !is_space) {
                        comparison.right = node.token;
                    }
                }
            } else {
                out.push(node);
            }
            if is_space {
                continue;
            }
            let own = out.len() - 1;
            if (rule.is_middle)(view)
                && let Some((at, token)) = before
                && (rule.is_before)(self.view(token))
            {
                let next = (index + 1..tokens.len()).find(|&next| !tokens[next].kind.is_space());
                if (rule.is_behind)(next.map(|next| self.view(tokens[next]))) {
                    let reach = (rule.reach)(next.map(|next| tokens[next].kind));
                    let start = if reach == Reach::Ahead { own } else { at };
                    // The left token may already be in a group; then that group is the left operand.
                    let left = out[start].token;
                    fold(&mut out, start, rule.kind, rule.extend);
                    if rule.kind == Kind::Comparison {
                        let parts = Comparison { left, sign: view.token, right: view.token, extra: 0 };
                        out[start].comparison = Some(Box::new(parts));
                    }
                    if reach != Reach::Back {
                        absorbed_to = next;
                    }
                    before = Some((start, out[start].token));
                    continue;
                }
            }
            before = Some((own, view.token));
        }
        out
    }
}
