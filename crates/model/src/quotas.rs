//! Quotas: how much an experiment or a workspace may hold.

use std::fmt;

/// What a quota is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaScope {
    /// One experiment.
    Experiment,
    /// All experiments of a workspace.
    Workspace,
}

/// What a quota counts. Deleted things count until they are purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// Runs.
    Runs,
    /// Metric points.
    Points,
    /// Traces.
    Traces,
}

/// A quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quota {
    /// What it is of.
    pub scope: QuotaScope,
    /// What it counts.
    pub counted: Counted,
}

impl Quota {
    /// All of them.
    pub const ALL: [Self; 6] = {
        use {
            Counted::{Points, Runs, Traces},
            QuotaScope::{Experiment, Workspace},
        };
        [
            Self { scope: Experiment, counted: Runs },
            Self { scope: Experiment, counted: Points },
            Self { scope: Experiment, counted: Traces },
            Self { scope: Workspace, counted: Runs },
            Self { scope: Workspace, counted: Points },
            Self { scope: Workspace, counted: Traces },
        ]
    };

    /// The name in settings, metrics and log lines: `experiment.runs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.scope, self.counted) {
            (QuotaScope::Experiment, Counted::Runs) => "experiment.runs",
            (QuotaScope::Experiment, Counted::Points) => "experiment.points",
            (QuotaScope::Experiment, Counted::Traces) => "experiment.traces",
            (QuotaScope::Workspace, Counted::Runs) => "workspace.runs",
            (QuotaScope::Workspace, Counted::Points) => "workspace.points",
            (QuotaScope::Workspace, Counted::Traces) => "workspace.traces",
        }
    }

    /// The quota with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.name() == name)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Limits of some quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaLimits(Vec<(Quota, i64)>);

impl QuotaLimits {
    /// Parses `experiment.runs=100000,workspace.points=50000000`.
    ///
    /// # Errors
    /// A part is no quota, has no positive number, or is there twice. The message says which one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('=').ok_or_else(|| format!("'{part}' is not NAME=NUMBER"))?;
            let quota = Quota::from_name(name.trim())
                .ok_or_else(|| format!("'{name}' is not one of {}", Quota::ALL.map(Quota::name).join(", ")))?;
            let limit = number.trim().parse().ok().filter(|limit| *limit > 0);
            let limit = limit.ok_or_else(|| format!("'{part}' does not end with a positive number"))?;
            if limits.iter().any(|(other, _)| *other == quota) {
                return Err(format!("'{name}' is there twice"));
            }
            limits.push((quota, limit));
        }
        Ok(Self(limits))
    }

    /// The limit of a quota, if it has one.
    #[must_use]
    pub fn get(&self, quota: Quota) -> Option<i64> {
        self.0.iter().find(|(other, _)| *other == quota).map(|(_, limit)| *limit)
    }
}

/// The quotas of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Limits that are only reported.
    pub soft: QuotaLimits,
    /// Limits above which requests are refused.
    pub hard: QuotaLimits,
}

impl Quotas {
    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.used().next().is_none()
    }

    /// The quotas with a limit.
    pub fn used(&self) -> impl Iterator<Item = Quota> {
        Quota::ALL.into_iter().filter(|quota| self.lowest(*quota).is_some())
    }

    /// The lower one of both limits.
    #[must_use]
    pub fn lowest(&self, quota: Quota) -> Option<i64> {
        self.soft.get(quota).into_iter().chain(self.hard.get(quota)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_parsed() {
        let limits = QuotaLimits::parse(" experiment.runs=10, workspace.points = 5000000000,").unwrap();
        let of = |name| limits.get(Quota::from_name(name).unwrap());
        assert_eq!((of("experiment.runs"), of("workspace.points")), (Some(10), Some(5_000_000_000)));
        assert_eq!(of("workspace.traces"), None);
        assert_eq!(QuotaLimits::parse("").unwrap(), QuotaLimits::default());
        for (text, reason) in [
            ("experiment.runs", "NAME=NUMBER"),
            ("experiment.bytes=1", "is not one of experiment.runs,"),
            ("experiment.runs=0", "positive"),
            ("experiment.runs=-1", "positive"),
            ("experiment.runs=1k", "positive"),
            ("experiment.runs=1,experiment.runs=2", "twice"),
        ] {
            assert!(QuotaLimits::parse(text).unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn names_are_unique() {
        for quota in Quota::ALL {
            assert_eq!(Quota::from_name(quota.name()), Some(quota));
        }
    }

    #[test]
    fn the_lower_limit_decides_what_is_reported() {
        let parse = |text| QuotaLimits::parse(text).unwrap();
        let quotas = Quotas {
            soft: parse("experiment.runs=8,workspace.runs=9"),
            hard: parse("experiment.runs=10,workspace.traces=3"),
        };
        let used: Vec<_> = quotas.used().map(|quota| (quota.name(), quotas.lowest(quota).unwrap())).collect();
        assert_eq!(used, [("experiment.runs", 8), ("workspace.runs", 9), ("workspace.traces", 3)]);
        assert!(Quotas::default().are_none());
    }
}
