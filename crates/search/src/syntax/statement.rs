//! Splits tokens into statements, to detect a text that is not a single expression.

use super::lexer::{Kind, Token};

/// Decides after each token whether the statement continues.
#[derive(Default)]
struct Splitter {
    /// Nesting of parentheses and blocks; negative if more are closed than opened.
    level: i64,
    blocks: Vec<Block>,
    /// A `FOR` or `WHILE` whose `LOOP` or `DO` is still to come.
    pending_loop: Option<Block>,
    is_create: bool,
    seen_begin: bool,
    is_complete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Begin,
    Case,
    Declare,
    For,
    If,
    Loop,
    While,
}

/// The number of statements, and the index of the token after the first one.
pub(crate) fn first(text: &str, tokens: &[Token]) -> (usize, usize) {
    let mut splitter = Splitter::default();
    let mut count = 0;
    let mut first_end = tokens.len();
    let mut has_content = false;
    for (index, token) in tokens.iter().enumerate() {
        if splitter.is_complete && !matches!(token.kind, Kind::Whitespace | Kind::LineComment) {
            if count == 0 {
                first_end = index;
            }
            count += 1;
            splitter = Splitter::default();
            has_content = false;
        }
        splitter.feed(token.kind, &text[token.start..token.end]);
        has_content |= !token.kind.is_space();
    }
    (count + usize::from(has_content), first_end)
}

impl Splitter {
    fn feed(&mut self, kind: Kind, value: &str) {
        self.level += self.step(kind, value);
        match kind {
            Kind::Punctuation if value == ";" => {
                self.seen_begin = false;
                self.is_complete |= self.level <= 0 && !self.blocks.contains(&Block::Begin);
            }
            Kind::Keyword if value.split_whitespace().next() == Some("GO") => self.is_complete = true,
            Kind::Keyword if value.eq_ignore_ascii_case("BEGIN") => {}
            Kind::Whitespace | Kind::Newline | Kind::LineComment | Kind::MultilineComment => {}
            _ => self.seen_begin = false,
        }
    }

    /// The change of the nesting level.
    fn step(&mut self, kind: Kind, value: &str) -> i64 {
        match (kind, value) {
            (Kind::Punctuation, ";") => {
                self.pending_loop = None;
                return self.end_of_lone_begin();
            }
            (Kind::Punctuation, "(") => return 1,
            (Kind::Punctuation, ")") => return -1,
            _ if !kind.is_keyword() => return 0,
            _ => {}
        }
        let word = value.to_uppercase();
        match word.as_str() {
            "DECLARE" if self.is_create && self.blocks.is_empty() => {
                self.blocks.push(Block::Declare);
                return 1;
            }
            "BEGIN" => {
                self.seen_begin = true;
                let declared = self.blocks.pop_if(|block| *block == Block::Declare).is_some();
                self.blocks.push(Block::Begin);
                return i64::from(!declared);
            }
            "TRANSACTION" | "WORK" | "TRAN" | "DISTRIBUTED" | "DEFERRED" | "IMMEDIATE" | "EXCLUSIVE"
                if self.seen_begin && kind == Kind::Keyword =>
            {
                return self.end_of_lone_begin();
            }
            _ if kind == Kind::Ddl && word.starts_with("CREATE") => {
                self.is_create = true;
                return 0;
            }
            _ => {}
        }
        if self.blocks.contains(&Block::Begin)
            && let Some(step) = self.open_nested(&word)
        {
            return step;
        }
        self.close(&word)
    }

    /// `BEGIN;` and `BEGIN TRANSACTION` do not open a block.
    fn end_of_lone_begin(&mut self) -> i64 {
        if !std::mem::take(&mut self.seen_begin) {
            return 0;
        }
        -i64::from(self.blocks.pop_if(|block| *block == Block::Begin).is_some())
    }

    fn open_nested(&mut self, word: &str) -> Option<i64> {
        let block = match word {
            "FOR" => {
                self.pending_loop = Some(Block::For);
                return Some(0);
            }
            "WHILE" => {
                self.pending_loop = Some(Block::While);
                return Some(0);
            }
            "LOOP" => self.pending_loop.take().unwrap_or(Block::Loop),
            "DO" => self.pending_loop.take()?,
            "IF" => Block::If,
            "CASE" => Block::Case,
            _ => return None,
        };
        self.blocks.push(block);
        Some(1)
    }

    fn close(&mut self, word: &str) -> i64 {
        let closes: fn(Block) -> bool = match word {
            "END IF" => |block| block == Block::If,
            "END FOR" => |block| block == Block::For,
            "END WHILE" => |block| block == Block::While,
            "END LOOP" => |block| matches!(block, Block::Loop | Block::For | Block::While),
            "END CASE" => |block| block == Block::Case,
            "END" => {
                self.blocks.pop();
                return -1;
            }
            _ => return 0,
        };
        -i64::from(self.blocks.pop_if(|block| closes(*block)).is_some())
    }
}
