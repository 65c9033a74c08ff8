//! The numbers of passed and failed tests, parsed from the summary lines of test runners and of this program's own
//! checks.

use std::{iter::Sum, ops::Add};

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// The tests in a line of output: none, unless it is the summary line of cargo test, nextest, pytest or a task of
    /// this program with checks.
    pub(crate) fn of_line(line: &str) -> Self {
        // Indented lines were printed by a test, whose runner has its own summary.
        let line = if line.starts_with("     Summary [") { line.trim() } else { line.trim_end() };
        let Some(counts) = closing(line) else { return Self::default() };
        let mut tally = Self::default();
        let words: Vec<&str> = counts.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" | "xfailed" => tally.passed += number,
                "failed" | "error" | "errors" | "xpassed" | "timed" => tally.failed += number,
                _ => {}
            }
        }
        tally
    }

    /// The tally of a command with this exit status: one that failed without a failed test counts as one failure.
    pub(crate) fn of(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

/// The part of a summary line with the counts.
fn closing(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("test result: ") {
        return Some(rest);
    }
    // checks: 3 passed, 0 failed
    if let Some(rest) = line.strip_prefix("checks: ") {
        return Some(rest);
    }
    // Summary [   0.012s] 3 tests run: 2 passed, 1 failed, 0 skipped
    if let Some(rest) = line.strip_prefix("Summary [") {
        return rest.split_once(" run: ").map(|(_, counts)| counts);
    }
    // ==== 1 failed, 2 passed in 0.12s ====
    let inner = line.strip_prefix('=')?.strip_suffix('=')?.trim_matches(['=', ' ']);
    inner.rsplit_once(" in ").map(|(counts, _)| counts)
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn counted(line: &str) -> (u64, u64) {
        let tally = Tally::of_line(line);
        (tally.passed, tally.failed)
    }

    #[test]
    fn cargo_test_closes_each_binary() {
        assert_eq!(
            counted("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s"),
            (12, 0)
        );
        assert_eq!(counted("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"), (1, 2));
    }

    #[test]
    fn nextest_closes_the_run() {
        assert_eq!(counted("     Summary [   1.204s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped"), (4, 1));
        assert_eq!(counted("     Summary [  60.1s] 3/9 tests run: 1 passed, 1 failed, 1 timed out, 0 skipped"), (1, 2));
    }

    #[test]
    fn a_task_closes_its_checks() {
        assert_eq!(counted("checks: 22 passed, 1 failed"), (22, 1));
    }

    #[test]
    fn pytest_closes_a_suite() {
        assert_eq!(
            counted("========================= 4 failed, 6 errors in 1.61s =========================="),
            (0, 10)
        );
        assert_eq!(
            counted("============ 12 passed, 1 skipped, 2 warnings in 152.33s (0:02:32) ============="),
            (12, 0)
        );
        assert_eq!(counted("============================= 1 error in 40.33s ================================"), (0, 1));
        assert_eq!(counted("============================ no tests ran in 0.01s ============================="), (0, 0));
    }

    #[test]
    fn what_a_failed_test_printed_is_not_counted_again() {
        assert_eq!(
            counted("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 186 filtered out"),
            (0, 0)
        );
    }

    #[test]
    fn other_lines_say_nothing() {
        assert_eq!(counted("test it_passed ... ok"), (0, 0));
        assert_eq!(counted("3 passed"), (0, 0));
        assert_eq!(counted("=== 2 failed, see below ==="), (0, 0));
    }
}
