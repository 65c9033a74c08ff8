//! Which requests are traced: the samplers of OpenTelemetry's specification.

use std::fmt;

use crate::TraceParent;

/// A sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the client's decision is followed, if its request has one.
    follows_parent: bool,
    /// The share of other traces, as a bound of the last 63 bits of their ids: all with [`ALL`], none with 0.
    bound: u64,
}

/// The bound of a sampler that takes all.
const ALL: u64 = 1 << 63;

/// The settings do not name a sampler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplerError(String);

impl fmt::Display for SamplerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SamplerError {}

impl Default for Sampler {
    /// `parentbased_always_on`, as in the specification.
    fn default() -> Self {
        Self { follows_parent: true, bound: ALL }
    }
}

impl Sampler {
    /// The sampler with the values of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    ///
    /// # Errors
    /// The name is unknown, or the argument of a ratio is not between 0 and 1.
    pub fn named(name: Option<&str>, argument: Option<&str>) -> Result<Self, SamplerError> {
        let name = name.map_or("parentbased_always_on", str::trim);
        let (follows_parent, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let bound = match rest {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => bound_of(argument)?,
            _ => {
                return Err(SamplerError(format!(
                    "OTEL_TRACES_SAMPLER={name} is not one of always_on, always_off, traceidratio, or one of these with \
                     the prefix parentbased_"
                )));
            }
        };
        Ok(Self { follows_parent, bound })
    }

    /// Whether a request is traced.
    #[must_use]
    pub fn takes(&self, trace: u128, parent: Option<&TraceParent>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.is_sampled,
            // The last 63 bits, as most implementations: replicas and clients with the same ratio decide alike.
            _ => (low_bits(trace) & (ALL - 1)) < self.bound,
        }
    }
}

/// The last 64 bits of a trace's id.
fn low_bits(trace: u128) -> u64 {
    u64::try_from(trace & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio of 2^63 is a u64")]
fn bound_of(argument: Option<&str>) -> Result<u64, SamplerError> {
    let argument = argument.unwrap_or("1.0").trim();
    match argument.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok((ratio * 2_f64.powi(63)) as u64),
        _ => Err(SamplerError(format!("OTEL_TRACES_SAMPLER_ARG={argument} is not a number between 0 and 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(is_sampled: bool) -> TraceParent {
        TraceParent { trace: 1, span: 1, is_sampled, state: None }
    }

    #[test]
    fn a_client_decides_only_for_samplers_that_follow_it() {
        let sampler = |name| Sampler::named(Some(name), Some("0.5")).unwrap();
        for (name, alone, sampled, unsampled) in [
            ("always_on", true, true, true),
            ("always_off", false, false, false),
            ("parentbased_always_on", true, true, false),
            ("parentbased_always_off", false, true, false),
            ("parentbased_traceidratio", true, true, false),
            ("traceidratio", true, true, true),
        ] {
            let takes = |parent: Option<TraceParent>| sampler(name).takes(7, parent.as_ref());
            assert_eq!(
                (takes(None), takes(Some(parent(true))), takes(Some(parent(false)))),
                (alone, sampled, unsampled),
                "{name}"
            );
        }
        assert_eq!(Sampler::named(None, None).unwrap(), Sampler::default());
    }

    #[test]
    fn a_ratio_is_a_share_of_the_ids() {
        let sampler = Sampler::named(Some("traceidratio"), Some("0.25")).unwrap();
        let taken = (0..1000_u128).filter(|place| sampler.takes(place << 53, None)).count();
        assert_eq!(taken, 256);
        let all = Sampler::named(Some("traceidratio"), None).unwrap();
        assert!(all.takes(u128::MAX, None));
        assert!(!Sampler::named(Some("traceidratio"), Some("0")).unwrap().takes(0, None));
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(Sampler::named(Some("jaeger_remote"), None).is_err());
        for argument in ["x", "-0.1", "1.1", "NaN"] {
            assert!(Sampler::named(Some("traceidratio"), Some(argument)).is_err(), "{argument}");
        }
    }
}
