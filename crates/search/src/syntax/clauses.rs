//! Converts nodes to the comparisons of a filter.

use super::{
    grouping,
    lexer::{self, Kind, Token},
    nodes::{Limit, MAX_TOKENS, Node},
    statement,
};

/// A comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clause<'a> {
    pub(crate) left: Operand<'a>,
    /// As written, except `NOT IN`, `IS NULL` and `IS NOT NULL`, which are in upper case with single spaces.
    pub(crate) sign: &'a str,
    /// `None` for `IS NULL` and `IS NOT NULL`.
    pub(crate) right: Option<Operand<'a>>,
    /// The number of its parts that are not white space, comments included.
    pub(crate) parts: usize,
    /// The source text of the clause, without white space where the reference omits it.
    whole: Whole<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Whole<'a> {
    Source(&'a str),
    Joined,
}

/// An operand of a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

/// An element of the top level of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'a> {
    Clause(Clause<'a>),
    And(&'a str),
    Other(&'a str),
}

/// Why a text is not a single expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unparsable {
    /// It is too long or nested too deeply.
    TooLarge(Limit),
    /// It contains only white space.
    Empty,
    /// It contains several statements.
    Several,
}

impl<'a> Piece<'a> {
    /// The text of an element that is neither a comparison nor `AND`.
    pub(crate) fn other(&self) -> Option<&'a str> {
        match self {
            Self::Other(text) => Some(text),
            _ => None,
        }
    }
}

impl Clause<'_> {
    /// The clause as the reference prints it.
    pub(crate) fn text(&self) -> String {
        match self.whole {
            Whole::Source(text) => text.to_owned(),
            Whole::Joined => {
                let right = self.right.map_or("", |operand| operand.text);
                format!("{}{}{right}", self.left.text, self.sign)
            }
        }
    }
}

/// The nodes of a text with exactly one statement.
pub(crate) fn nodes(text: &str) -> Result<Vec<Node>, Unparsable> {
    let mut tokens = Vec::new();
    let mut counted = 0;
    for token in lexer::tokens(text) {
        counted += usize::from(!token.kind.is_raw_comment() && token.kind != Kind::Newline);
        if counted > MAX_TOKENS {
            return Err(Unparsable::TooLarge(Limit::Tokens));
        }
        tokens.push(token);
    }
    let (count, first_end) = statement::first(text, &tokens);
    match count {
        0 => Err(Unparsable::Empty),
        1 => grouping::group(text, &tokens[..first_end]).map_err(Unparsable::TooLarge),
        _ => Err(Unparsable::Several),
    }
}

/// The elements of the top level of a filter. `with_timestamp` says whether the word `timestamp` may be an operand.
pub(crate) fn pieces(text: &str, with_timestamp: bool) -> Result<Vec<Piece<'_>>, Unparsable> {
    let nodes: Vec<Node> = nodes(text)?.into_iter().filter(|node| !node.token.kind.is_space()).collect();
    Ok(join_sets(text, &nodes, with_timestamp))
}

/// The elements of the top level of a filter that has neither lists nor tests for NULL.
pub(crate) fn plain_pieces(text: &str) -> Result<Vec<Piece<'_>>, Unparsable> {
    let nodes = nodes(text)?;
    Ok(nodes.iter().filter(|node| !node.token.kind.is_space()).map(|node| piece(text, node)).collect())
}

/// Combines `x IN (…)`, `x NOT IN (…)`, `x IS NULL` and `x IS NOT NULL`, which the grouping does not treat as
/// comparisons.
///
/// From an identifier that starts none of these, three more nodes are passed through unchanged: so does the reference,
/// which reports all of them as invalid.
fn join_sets<'a>(text: &'a str, nodes: &[Node], with_timestamp: bool) -> Vec<Piece<'a>> {
    let mut pieces = Vec::with_capacity(nodes.len());
    let mut rest = nodes;
    while let Some((first, more)) = rest.split_first() {
        if rest.len() < 3 {
            pieces.extend(rest.iter().map(|node| piece(text, node)));
            break;
        }
        if with_timestamp && is_timestamp(operand(text, first.token)) {
            match timestamp_clause(text, rest) {
                Some(clause) => pieces.push(Piece::Clause(clause)),
                // The reference reports its first word twice.
                None => pieces.extend(rest[..3].iter().chain([first]).map(|node| piece(text, node))),
            }
            rest = &rest[3..];
        } else if first.token.kind != Kind::Identifier {
            pieces.push(piece(text, first));
            rest = more;
        } else if let Some((clause, used)) = set_clause(text, rest) {
            pieces.push(Piece::Clause(clause));
            rest = &rest[used..];
        } else {
            let taken = rest.len().min(4);
            pieces.extend(rest[..taken].iter().map(|node| piece(text, node)));
            rest = &rest[taken..];
        }
    }
    pieces
}

/// The set or null test at the start of `nodes`, and the number of nodes it consists of.
fn set_clause<'a>(text: &'a str, nodes: &[Node]) -> Option<(Clause<'a>, usize)> {
    let word = |at: usize, keyword: &str| {
        nodes.get(at).is_some_and(|node| is_keyword(text, node.token, keyword)).then_some(())
    };
    let list = |at: usize| {
        nodes.get(at).filter(|node| node.token.kind == Kind::Parenthesis).map(|node| operand(text, node.token))
    };
    let left = operand(text, nodes.first()?.token);
    let clause = |sign, right: Option<Operand<'a>>| Clause {
        left,
        sign,
        right,
        parts: 2 + usize::from(right.is_some()),
        whole: Whole::Joined,
    };
    if word(1, "IN").is_some()
        && let Some(right) = list(2)
    {
        return Some((clause(slice(text, nodes[1].token), Some(right)), 3));
    }
    if word(1, "IS").is_some() {
        word(2, "NULL")
            .map(|()| (clause("IS NULL", None), 3))
            .or_else(|| word(2, "NOT NULL").map(|()| (clause("IS NOT NULL", None), 3)))
    } else {
        word(1, "NOT").and(word(2, "IN")).and(list(3)).map(|right| (clause("NOT IN", Some(right)), 4))
    }
}

/// The comparison of the word `timestamp` with an integer, of which the grouping makes no node.
fn timestamp_clause<'a>(text: &'a str, nodes: &[Node]) -> Option<Clause<'a>> {
    let [left, sign, right] = [0, 1, 2].map(|at| operand(text, nodes[at].token));
    let is_number = sign.kind == Kind::ComparisonSign && matches!(sign.text, "<" | "<=" | ">" | ">=" | "=" | "!=");
    (is_number && right.kind == Kind::Integer).then_some(Clause {
        left,
        sign: sign.text,
        right: Some(right),
        parts: 3,
        whole: Whole::Joined,
    })
}

fn piece<'a>(text: &'a str, node: &Node) -> Piece<'a> {
    if let Some(comparison) = &node.comparison {
        return Piece::Clause(Clause {
            left: operand(text, comparison.left),
            sign: slice(text, comparison.sign),
            right: Some(operand(text, comparison.right)),
            parts: 3 + comparison.extra,
            whole: Whole::Source(slice(text, node.token)),
        });
    }
    if is_keyword(text, node.token, "AND") {
        Piece::And(slice(text, node.token))
    } else {
        Piece::Other(slice(text, node.token))
    }
}

/// Whether an operand is the word `timestamp`, as the lexer reads it.
pub(crate) fn is_timestamp(operand: Operand<'_>) -> bool {
    operand.kind == Kind::Builtin && matches!(operand.text, "timestamp" | "timestamp_ms")
}

fn is_keyword(text: &str, token: Token, keyword: &str) -> bool {
    token.kind == Kind::Keyword && slice(text, token).eq_ignore_ascii_case(keyword)
}

fn operand(text: &str, token: Token) -> Operand<'_> {
    Operand { kind: token.kind, text: slice(text, token) }
}

/// The text of a token.
pub(crate) fn slice(text: &str, token: Token) -> &str {
    &text[token.start..token.end]
}
