//! Character classes of the lexer: those of Python's regular expressions.

/// White space: the Unicode property, plus four separators that Python includes.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// A letter, digit or underscore.
pub(crate) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The first character of an unquoted name. Letters outside Latin-1 cannot start one; the last four are those that
/// Python's case folding maps to Latin-1 letters.
pub(crate) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c, 'À'..='Ü' | 'à'..='ö' | 'ø'..='ü' | 'ı' | 'ſ' | 'İ' | '\u{212a}' | '\u{212b}')
}

/// Compares a character, ignoring case, with an upper-case letter of a keyword.
pub(crate) fn is_same_letter(c: char, expected: char) -> bool {
    match c {
        'ı' | 'İ' => expected == 'I',
        'ſ' => expected == 'S',
        '\u{212a}' => expected == 'K',
        _ => c.to_ascii_uppercase() == expected,
    }
}

/// The value of a decimal digit of any script.
pub(crate) fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let index = ZEROS.partition_point(|&zero| zero <= c);
    let zero = ZEROS[..index].last()?;
    let value = u32::from(c) - u32::from(*zero);
    (value < 10).then_some(value)
}

/// The digit zero of every script of Unicode 14; its nine successors are the other digits.
const ZEROS: [char; 65] = [
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e950}',
    '\u{1fbf0}',
];
