//! Dollar-quoted literals (`$tag$ … $tag$`) and `/* … */` comments. Their closing delimiters may be far away, so they
//! are indexed once instead of searched for from every opening one (linear time).

use std::collections::HashMap;

use super::{
    chars::{is_name_start, is_word},
    lexer::Kind,
    scanner::Scanner,
};

/// The positions of the delimiters in a text.
pub(crate) struct Delimited<'a> {
    scanner: Scanner<'a>,
    last_comment_close: Option<usize>,
    /// Start positions of each dollar tag, ascending.
    dollar_tags: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Delimited<'a> {
    pub(crate) fn find(text: &'a str) -> Self {
        let scanner = Scanner { text };
        let mut dollar_tags: HashMap<&'a str, Vec<usize>> = HashMap::new();
        for (start, _) in text.match_indices('$') {
            if let Some(end) = dollar_tag(scanner, start) {
                dollar_tags.entry(&text[start..end]).or_default().push(start);
            }
        }
        Self { scanner, last_comment_close: text.rfind("*/"), dollar_tags }
    }

    /// The end of the closed literal or comment that opens at a position, if there is one.
    pub(crate) fn at(&self, pos: usize) -> Option<(usize, Kind)> {
        if self.scanner.has(pos, "/*") {
            let hint = usize::from(self.scanner.has(pos, "/*+"));
            let body = pos + 2 + hint;
            self.last_comment_close.filter(|&last| last >= body)?;
            let close = self.scanner.distance(body, "*/")?;
            return Some((body + close + 2, Kind::MultilineComment));
        }
        if !self.scanner.has(pos, "$") || self.scanner.before(pos).is_some_and(|c| is_word(c) || c == '"' || c == '$') {
            return None;
        }
        let body = dollar_tag(self.scanner, pos)?;
        let tag = &self.scanner.text[pos..body];
        let starts = self.dollar_tags.get(tag)?;
        let close = starts.get(starts.partition_point(|&start| start < body))?;
        Some((close + tag.len(), Kind::Literal))
    }
}

/// The end of `$$` or `$name$`.
fn dollar_tag(scanner: Scanner<'_>, start: usize) -> Option<usize> {
    let mut end = start + 1;
    if scanner.at(end).is_some_and(|c| c == '_' || is_name_start(c)) {
        end = scanner.skip(end, is_word);
    }
    scanner.has(end, "$").then_some(end + 1)
}
