//! Counts the bytes that the lexer reads, including lookahead. Only in tests: measuring time would depend on the
//! machine.

/// Counts bytes that were read.
#[cfg(not(test))]
pub(super) fn read(_bytes: usize) {}

#[cfg(test)]
pub(super) use tests::read;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::syntax::lexer::tokens;

    thread_local! {
        static READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::syntax) fn read(bytes: usize) {
        READ.set(READ.get() + bytes);
    }

    /// Number of bytes that the lexer reads to tokenise a text.
    fn work(text: &str) -> usize {
        READ.set(0);
        tokens(text).for_each(drop);
        READ.get()
    }

    #[test]
    fn twice_the_text_is_twice_the_work() {
        let pieces = "(|)|[|((a|'|\"|`|´|''|\\'|a | |\n|a.|$|$a$|$a$$b$ |/*|*/|--|-- \n|# |1|1.|a|NOT |NOT IN |LEFT |\
             LEFT OUTER |END |ASC NULLS |BEGIN |BEGIN; |CASE |a = 1 AND |('a') |%(|é|;|a;|a::|a->|a:=|1+|a AS |WHERE |f(|\
             \u{1f600}|{\"offset\":|AT TIME ZONE |a IN ('|='|//";
        for piece in pieces.split('|') {
            let [one, two] = [10_000, 20_000].map(|length| work(&piece.repeat(length / piece.len())));
            assert!(two <= 2 * one + 1_000, "{piece:?}: {one} bytes of 10,000, {two} of 20,000");
        }
    }

    #[test]
    fn unclosed_delimiters_do_not_each_read_the_rest_of_the_text() {
        let rest = "x".repeat(1_000_000);
        for mark in ["/* ", "$a$", "'", "\"", "`", "´", "[", "(", "\\'"] {
            let text = mark.repeat(9_000) + &rest;
            let read = work(&text);
            assert!(read < 4 * text.len(), "{mark:?}: {read} bytes of {}", text.len());
        }
    }
}
