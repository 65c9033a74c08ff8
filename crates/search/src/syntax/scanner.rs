//! Lookahead: functions take a byte position and return the position after the match.

use super::{
    chars::{digit, is_name_start, is_same_letter, is_space, is_word},
    work,
};

/// The text, with the lookahead functions of the lexer.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a str,
}

impl Scanner<'_> {
    /// The character at a position.
    pub(crate) fn at(self, pos: usize) -> Option<char> {
        self.text[pos..].chars().next()
    }

    /// The character before a position.
    pub(crate) fn before(self, pos: usize) -> Option<char> {
        self.text[..pos].chars().next_back()
    }

    /// Whether the text continues with `prefix`.
    pub(crate) fn has(self, pos: usize, prefix: &str) -> bool {
        self.text[pos..].starts_with(prefix)
    }

    /// Skips all characters of a class.
    pub(crate) fn skip(self, pos: usize, class: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[pos..];
        let length = rest.find(|c| !class(c)).unwrap_or(rest.len());
        work::read(length);
        pos + length
    }

    /// The distance to the next occurrence of a text, in bytes.
    pub(crate) fn distance(self, pos: usize, text: &str) -> Option<usize> {
        let rest = &self.text[pos..];
        let found = rest.find(text);
        work::read(found.unwrap_or(rest.len()));
        found
    }

    /// Skips at least one character of a class.
    pub(crate) fn some(self, pos: usize, class: impl Fn(char) -> bool) -> Option<usize> {
        let end = self.skip(pos, class);
        (end > pos).then_some(end)
    }

    /// Skips at least one white space character.
    pub(crate) fn spaces(self, pos: usize) -> Option<usize> {
        self.some(pos, is_space)
    }

    /// Skips at least one digit.
    pub(crate) fn digits(self, pos: usize) -> Option<usize> {
        self.some(pos, |c| digit(c).is_some())
    }

    /// Skips a name: a letter, then `\w` at least `more` times.
    pub(crate) fn name(self, pos: usize, more: usize) -> Option<usize> {
        let first = self.at(pos).filter(|&c| is_name_start(c))?;
        let rest = pos + first.len_utf8();
        let end = self.skip(rest, is_word);
        (more == 0 || end > rest).then_some(end)
    }

    /// Skips the letters of a keyword (given in upper case), ignoring case; more letters may follow.
    pub(crate) fn letters(self, pos: usize, keyword: &str) -> Option<usize> {
        let mut rest = self.text[pos..].chars();
        let mut end = pos;
        for expected in keyword.chars() {
            work::read(1);
            let c = rest.next().filter(|&c| is_same_letter(c, expected))?;
            end += c.len_utf8();
        }
        Some(end)
    }

    /// The position itself if a word ends there.
    pub(crate) fn word_end(self, pos: usize) -> Option<usize> {
        (!self.at(pos).is_some_and(is_word)).then_some(pos)
    }

    /// Skips keywords separated by white space; the last one must be a complete word.
    pub(crate) fn phrase(self, pos: usize, keywords: &[&str]) -> Option<usize> {
        let (first, more) = keywords.split_first()?;
        let mut end = self.letters(pos, first)?;
        for keyword in more {
            end = self.letters(self.spaces(end)?, keyword)?;
        }
        self.word_end(end)
    }

    /// Whether the character at a position is a letter or an underscore, after which a number cannot end.
    pub(crate) fn is_letter(self, pos: usize) -> bool {
        self.at(pos).is_some_and(|c| c == '_' || is_name_start(c))
    }
}
