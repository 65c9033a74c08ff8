//! Exponential back-off with a bound and jitter.

use std::time::Duration;

/// How long to wait after a failure, and after further ones in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure; each further one doubles it.
    pub first: Duration,
    /// The bound of the wait, without jitter.
    pub most: Duration,
}

impl Backoff {
    /// The wait after a number of failures in a row, plus jitter of up to [`Backoff::first`]: replicas that fail
    /// together do not retry together.
    #[must_use]
    pub fn wait(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings).min(self.most);
        wait + self.first.mul_f64(rand::random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
            assert_eq!(backoff.wait(failures).as_secs(), seconds, "{failures}");
        }
        let huge = Backoff { first: Duration::MAX / 4, most: Duration::MAX / 2 };
        assert!(huge.wait(40) >= huge.most, "it does not overflow");
    }
}
