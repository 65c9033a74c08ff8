//! The lexer: the rules of `sqlparse` 0.6.1, in their order; the first rule that matches at a position wins. Runs in
//! linear time.

use super::{
    chars::{digit, is_name_start, is_same_letter, is_space, is_word},
    delimited::Delimited,
    keywords,
    scanner::Scanner,
    work,
};

/// The kind of a token or a group of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    // Tokens.
    Whitespace,
    Newline,
    /// `-- …` or `# …` to the end of the line.
    LineComment,
    /// A line comment that starts with `+`, which the reference calls a hint.
    LineHint,
    MultilineComment,
    /// `:=`.
    AssignmentSign,
    Punctuation,
    /// `*`.
    Wildcard,
    /// A word that is not a keyword, or anything in backticks.
    Name,
    Placeholder,
    /// The name of a column type, such as `timestamp`.
    Builtin,
    Command,
    Keyword,
    Order,
    Dml,
    Ddl,
    Cte,
    Dcl,
    TimeZoneCast,
    Hexadecimal,
    Float,
    Integer,
    /// In single quotes.
    SingleQuoted,
    /// In double quotes.
    DoubleQuoted,
    /// In dollar quotes.
    Literal,
    ComparisonSign,
    Operator,
    /// A character that no rule matches.
    Stray,
    // Groups.
    Assignment,
    Begin,
    Case,
    Comment,
    Comparison,
    For,
    Function,
    Identifier,
    IdentifierList,
    If,
    Operation,
    Over,
    Parenthesis,
    SquareBrackets,
    TypedLiteral,
    Values,
    Where,
}

impl Kind {
    /// White space and line ends.
    pub(crate) fn is_space(self) -> bool {
        matches!(self, Self::Whitespace | Self::Newline)
    }

    /// Comments before grouping.
    pub(crate) fn is_raw_comment(self) -> bool {
        matches!(self, Self::LineComment | Self::LineHint | Self::MultilineComment)
    }

    /// Keywords of every kind.
    pub(crate) fn is_keyword(self) -> bool {
        matches!(self, Self::Keyword | Self::Order | Self::Dml | Self::Ddl | Self::Cte | Self::Dcl | Self::TimeZoneCast)
    }

    /// Numbers of every kind.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Hexadecimal | Self::Float | Self::Integer)
    }

    /// Groups of tokens.
    pub(crate) fn is_group(self) -> bool {
        matches!(
            self,
            Self::Assignment
                | Self::Begin
                | Self::Case
                | Self::Comment
                | Self::Comparison
                | Self::For
                | Self::Function
                | Self::Identifier
                | Self::IdentifierList
                | Self::If
                | Self::Operation
                | Self::Over
                | Self::Parenthesis
                | Self::SquareBrackets
                | Self::TypedLiteral
                | Self::Values
                | Self::Where
        )
    }
}

/// A slice of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Byte position of the first character.
    pub(crate) start: usize,
    /// Byte position after the last character.
    pub(crate) end: usize,
}

/// The tokens of a text. Together they cover the whole text.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let lexer = Lexer { scanner: Scanner { text }, delimited: Delimited::find(text) };
    let mut pos = 0;
    std::iter::from_fn(move || {
        let first = lexer.scanner.at(pos)?;
        let (end, kind) = lexer.token(pos, first);
        let token = Token { kind, start: pos, end };
        pos = end;
        Some(token)
    })
}

struct Lexer<'a> {
    scanner: Scanner<'a>,
    delimited: Delimited<'a>,
}

impl Lexer<'_> {
    fn token(&self, pos: usize, first: char) -> (usize, Kind) {
        let width = first.len_utf8();
        self.delimited
            .at(pos)
            .or_else(|| self.comment_or_space(pos, first))
            .or_else(|| self.quoted_or_marked(pos, first))
            .or_else(|| self.word_before_numbers(pos, first))
            .or_else(|| self.number(pos))
            .or_else(|| self.string(pos, first))
            .or_else(|| self.phrase(pos, first))
            .or_else(|| self.word(pos, first))
            .or_else(|| self.sign(pos, first))
            .unwrap_or((pos + width, Kind::Stray))
    }

    fn comment_or_space(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        let s = self.scanner;
        if s.has(pos, "--") || s.has(pos, "# ") {
            let kind = if s.has(pos + 2, "+") { Kind::LineHint } else { Kind::LineComment };
            let end = s.skip(pos, |c| c != '\r' && c != '\n');
            return Some((self.line_end(end).unwrap_or(end), kind));
        }
        if let Some(end) = self.line_end(pos) {
            return Some((end, Kind::Newline));
        }
        is_space(first).then(|| (pos + first.len_utf8(), Kind::Whitespace))
    }

    fn line_end(&self, pos: usize) -> Option<usize> {
        let s = self.scanner;
        let width = if s.has(pos, "\r\n") { 2 } else { usize::from(s.has(pos, "\r") || s.has(pos, "\n")) };
        (width > 0).then_some(pos + width)
    }

    fn quoted_or_marked(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        let s = self.scanner;
        let next = pos + first.len_utf8();
        match first {
            ':' if s.has(next, "=") => Some((next + 1, Kind::AssignmentSign)),
            ':' if s.has(next, ":") => Some((next + 1, Kind::Punctuation)),
            '*' => Some((next, Kind::Wildcard)),
            '`' | '´' => Some((self.quoted(pos, first, false)?, Kind::Name)),
            '?' => Some((next, Kind::Placeholder)),
            '%' => {
                let name = s.has(next, "(").then(|| s.some(next + 1, is_word)).flatten();
                let body = name.filter(|&end| s.has(end, ")")).map_or(next, |end| end + 1);
                Some((s.letters(body, "S")?, Kind::Placeholder))
            }
            '$' | ':' if !s.before(pos).is_some_and(is_word) => Some((s.some(next, is_word)?, Kind::Placeholder)),
            '\\' => Some((s.some(next, is_word)?, Kind::Command)),
            _ => None,
        }
    }

    /// The end of a quoted text. Doubled quotes are part of the content, and so are quotes after a backslash if
    /// `escaped`. If the text ends without a closing quote, the last quote in the content closes it.
    fn quoted(&self, pos: usize, quote: char, escaped: bool) -> Option<usize> {
        let width = quote.len_utf8();
        let mut fallback = None;
        let mut rest = self.scanner.text[pos + width..].char_indices().map(|(at, c)| (pos + width + at, c)).peekable();
        while let Some((at, c)) = rest.next() {
            work::read(c.len_utf8());
            let next_is_quote = rest.peek().is_some_and(|&(_, next)| next == quote);
            if c == quote {
                if !next_is_quote {
                    return Some(at + width);
                }
                fallback = Some(at + width);
                rest.next();
            } else if escaped && c == '\\' && next_is_quote {
                fallback = Some(at + 1 + width);
                rest.next();
            }
        }
        fallback
    }

    fn word_before_numbers(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        let s = self.scanner;
        if matches!(first, '@' | '#') {
            let name = if s.has(pos, "##") { pos + 2 } else { pos + 1 };
            return Some((s.name(name, 1)?, Kind::Name));
        }
        if !is_name_start(first) {
            return None;
        }
        for keyword in ["CASE", "IN", "VALUES", "USING", "FROM", "AS"] {
            if let Some(end) = s.phrase(pos, &[keyword]) {
                return Some((end, Kind::Keyword));
            }
        }
        let end = s.name(pos, 0)?;
        let dot = s.skip(end, is_space);
        let is_qualifier = s.has(dot, ".") && s.at(dot + 1).and_then(digit).is_none();
        let is_member = s.before(pos) == Some('.');
        (is_qualifier || is_member || s.has(end, "(")).then_some((end, Kind::Name))
    }

    fn number(&self, pos: usize) -> Option<(usize, Kind)> {
        let s = self.scanner;
        let body = if s.has(pos, "-") { pos + 1 } else { pos };
        if s.has(body, "0") && s.letters(body + 1, "X").is_some() {
            let hex = s.some(body + 2, |c| digit(c).is_some() || c.is_ascii_hexdigit());
            if let Some(end) = hex {
                return Some((end, Kind::Hexadecimal));
            }
        }
        let Some(whole) = s.digits(body) else {
            let end = s.has(body, ".").then(|| s.digits(body + 1)).flatten()?;
            return Some((self.number_end(body + 1, end, 1)?, Kind::Float));
        };
        let fraction = s.has(whole, ".").then(|| s.skip(whole + 1, |c| digit(c).is_some()));
        let mantissa = fraction.filter(|&end| end > whole + 1).unwrap_or(whole);
        if let Some(exponent) = s.letters(mantissa, "E") {
            let exponent = if s.has(exponent, "-") { exponent + 1 } else { exponent };
            if let Some(end) = s.digits(exponent) {
                return Some((end, Kind::Float));
            }
        }
        if let Some(end) = fraction.and_then(|end| self.number_end(whole + 1, end, 0)) {
            return Some((end, Kind::Float));
        }
        Some((self.number_end(body, whole, 1)?, Kind::Integer))
    }

    /// The end of a number whose last digits are `start..end`: a letter after them excludes the last digit, but at
    /// least `least` digits must remain.
    fn number_end(&self, start: usize, end: usize, least: usize) -> Option<usize> {
        if !self.scanner.is_letter(end) {
            return Some(end);
        }
        let digits = &self.scanner.text[start..end];
        let (shorter, _) = digits.char_indices().next_back()?;
        (digits[..shorter].chars().take(least).count() == least).then_some(start + shorter)
    }

    fn string(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        let s = self.scanner;
        match first {
            '\'' => Some((self.quoted(pos, '\'', true)?, Kind::SingleQuoted)),
            '"' => Some((self.quoted(pos, '"', true)?, Kind::DoubleQuoted)),
            '[' if !s.before(pos).is_some_and(|c| is_word(c) || matches!(c, ']' | ')')) => {
                let end = s.some(pos + 1, |c| c != '[' && c != ']')?;
                s.has(end, "]").then_some((end + 1, Kind::Name))
            }
            _ => None,
        }
    }

    /// Keywords of several words, and single keywords with a kind of their own.
    fn phrase(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        if !is_name_start(first) {
            return None;
        }
        if let Some(end) = self.join(pos) {
            return Some((end, Kind::Keyword));
        }
        for (keywords, kind) in PHRASES {
            if is_same_letter(first, char::from(keywords[0].as_bytes()[0]))
                && let Some(end) = self.scanner.phrase(pos, keywords)
            {
                return Some((end, *kind));
            }
        }
        self.go(pos).or_else(|| self.time_zone(pos))
    }

    /// `JOIN` with its optional modifiers.
    fn join(&self, pos: usize) -> Option<usize> {
        let s = self.scanner;
        let option = |pos, words: &[&str]| words.iter().find_map(|word| s.spaces(s.letters(pos, word)?));
        let sided = option(pos, &["LEFT", "RIGHT", "FULL"]).unwrap_or(pos);
        let sided = option(sided, &["INNER", "OUTER", "STRAIGHT"]).unwrap_or(sided);
        let crossed = option(pos, &["CROSS", "NATURAL"]).unwrap_or(pos);
        s.phrase(sided, &["JOIN"]).or_else(|| s.phrase(crossed, &["JOIN"]))
    }

    /// `GO` and a one-digit number.
    fn go(&self, pos: usize) -> Option<(usize, Kind)> {
        let s = self.scanner;
        let space = s.letters(pos, "GO")?;
        let number = space + s.at(space).filter(|&c| is_space(c))?.len_utf8();
        let end = number + s.at(number).filter(|&c| digit(c).is_some())?.len_utf8();
        Some((s.word_end(end)?, Kind::Keyword))
    }

    /// `AT TIME ZONE '…'`.
    fn time_zone(&self, pos: usize) -> Option<(usize, Kind)> {
        let s = self.scanner;
        let start = s.letters(pos, "AT").or_else(|| s.letters(pos, "WITH'"))?;
        let zone = s.letters(s.spaces(s.letters(s.spaces(start)?, "TIME")?)?, "ZONE")?;
        let quote = s.spaces(zone).filter(|&quote| s.has(quote, "'"))?;
        let end = s.some(quote + 1, |c| c != '\'')?;
        s.has(end, "'").then_some((end + 1, Kind::TimeZoneCast))
    }

    fn word(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        if !is_word(first) {
            return None;
        }
        let end = self.scanner.skip(pos, |c| is_word(c) || matches!(c, '$' | '#'));
        Some((end, keywords::kind_of(&self.scanner.text[pos..end])))
    }

    fn sign(&self, pos: usize, first: char) -> Option<(usize, Kind)> {
        let s = self.scanner;
        if matches!(first, ';' | ':' | '(' | ')' | '[' | ']' | ',' | '.') {
            return Some((pos + 1, Kind::Punctuation));
        }
        if let Some(sign) = JSON_OPERATORS.iter().find(|sign| s.has(pos, sign)) {
            return Some((pos + sign.len(), Kind::Operator));
        }
        if let Some(end) = s.some(pos, |c| "<>=~!".contains(c)) {
            return Some((end, Kind::ComparisonSign));
        }
        s.some(pos, |c| "+/@#%^&|-".contains(c)).map(|end| (end, Kind::Operator))
    }
}

const JSON_OPERATORS: [&str; 8] = ["->>", "->", "#>>", "#>", "@>", "<@", "-", "#-"];

/// Keywords of several words, in matching order.
const PHRASES: &[(&[&str], Kind)] = &[
    (&["END", "IF"], Kind::Keyword),
    (&["END", "LOOP"], Kind::Keyword),
    (&["END", "WHILE"], Kind::Keyword),
    (&["END", "FOR"], Kind::Keyword),
    (&["END", "CASE"], Kind::Keyword),
    (&["END"], Kind::Keyword),
    (&["IF", "NOT", "EXISTS"], Kind::Keyword),
    (&["IF", "EXISTS"], Kind::Keyword),
    (&["NOT", "NULL"], Kind::Keyword),
    (&["ASC", "NULLS", "FIRST"], Kind::Order),
    (&["ASC", "NULLS", "LAST"], Kind::Order),
    (&["DESC", "NULLS", "FIRST"], Kind::Order),
    (&["DESC", "NULLS", "LAST"], Kind::Order),
    (&["ASC"], Kind::Order),
    (&["DESC"], Kind::Order),
    (&["NULLS", "FIRST"], Kind::Order),
    (&["NULLS", "LAST"], Kind::Order),
    (&["UNION", "ALL"], Kind::Keyword),
    (&["CREATE", "OR", "REPLACE"], Kind::Ddl),
    (&["CREATE"], Kind::Ddl),
    (&["DOUBLE", "PRECISION"], Kind::Builtin),
    (&["GROUP", "BY"], Kind::Keyword),
    (&["ORDER", "BY"], Kind::Keyword),
    (&["PRIMARY", "KEY"], Kind::Keyword),
    (&["HANDLER", "FOR"], Kind::Keyword),
    (&["LATERAL", "VIEW", "EXPLODE"], Kind::Keyword),
    (&["LATERAL", "VIEW", "INLINE"], Kind::Keyword),
    (&["LATERAL", "VIEW", "PARSE_URL_TUPLE"], Kind::Keyword),
    (&["LATERAL", "VIEW", "POSEXPLODE"], Kind::Keyword),
    (&["LATERAL", "VIEW", "STACK"], Kind::Keyword),
    (&["NOT", "LIKE"], Kind::ComparisonSign),
    (&["NOT", "ILIKE"], Kind::ComparisonSign),
    (&["NOT", "RLIKE"], Kind::ComparisonSign),
    (&["LIKE"], Kind::ComparisonSign),
    (&["ILIKE"], Kind::ComparisonSign),
    (&["RLIKE"], Kind::ComparisonSign),
    (&["NOT", "REGEXP", "BINARY"], Kind::ComparisonSign),
    (&["NOT", "REGEXP"], Kind::ComparisonSign),
    (&["REGEXP", "BINARY"], Kind::ComparisonSign),
    (&["REGEXP"], Kind::ComparisonSign),
];
