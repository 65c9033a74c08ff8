//! Lists of ascending numbers that are mostly regular.

/// Maximum number of progressions of a list.
const MAX_PROGRESSIONS: usize = 1_024;

/// Steps in ascending order, as arithmetic progressions. A step is repeated for each of its points.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Progressions(Vec<Progression>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Progression {
    /// Number of steps before it.
    before: usize,
    first: i64,
    /// What is added to a step for the next one, 0 or more.
    stride: i64,
    /// Number of steps, 1 or more.
    len: usize,
}

impl Progression {
    fn at(&self, index: usize) -> i64 {
        // Not more than the last step, which was pushed.
        self.first + self.stride * i64::try_from(index).unwrap_or(i64::MAX)
    }

    fn last(&self) -> i64 {
        self.at(self.len - 1)
    }

    /// Number of its steps that are less than `step`.
    fn below(&self, step: i64) -> usize {
        if step <= self.first {
            return 0;
        }
        if step > self.last() {
            return self.len;
        }
        // first < step <= last: the stride is not 0, and the difference is at most that of two steps.
        let distance = step - self.first;
        usize::try_from((distance - 1) / self.stride + 1).unwrap_or(self.len)
    }
}

impl Progressions {
    /// Number of steps.
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| last.before + last.len)
    }

    /// The step at a position, which is less than the number of steps.
    pub(super) fn at(&self, index: usize) -> i64 {
        let part = self.0.partition_point(|part| part.before <= index) - 1;
        self.0[part].at(index - self.0[part].before)
    }

    /// Number of steps that are less than `step`.
    pub(super) fn below(&self, step: i64) -> usize {
        let part = self.0.partition_point(|part| part.last() < step);
        self.0.get(part).map_or(self.len(), |part| part.before + part.below(step))
    }

    /// Adds a step that is not less than the last one. Returns false if there are too many progressions.
    pub(super) fn push(&mut self, step: i64) -> bool {
        let (before, count) = (self.len(), self.0.len());
        match self.0.last_mut() {
            Some(Progression { first, stride, len: len @ 1, .. }) if step.checked_sub(*first).is_some() => {
                *stride = step - *first;
                *len = 2;
            }
            // The difference of two steps of a progression is an i64.
            Some(last)
                if step.checked_sub(last.first).is_some() && last.last().checked_add(last.stride) == Some(step) =>
            {
                last.len += 1;
            }
            _ if count == MAX_PROGRESSIONS => return false,
            _ => self.0.push(Progression { before, first: step, stride: 0, len: 1 }),
        }
        true
    }

    /// Drops `step` and all steps behind it.
    pub(super) fn truncate(&mut self, step: i64) {
        let part = self.0.partition_point(|part| part.first < step);
        self.0.truncate(part);
        if let Some(last) = self.0.last_mut() {
            last.len = last.below(step);
        }
    }

    /// Number of progressions.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progressions(steps: &[i64]) -> Progressions {
        let mut found = Progressions::default();
        assert!(steps.iter().all(|step| found.push(*step)), "{steps:?}");
        found
    }

    #[test]
    fn progressions_find_steps_and_positions_as_a_list_does() {
        let lists: [&[i64]; 8] = [
            &[],
            &[7],
            &[7, 7, 7],
            &[0, 10, 20, 30, 35, 40, 41],
            &[0, 0, 1, 1, 2, 2],
            &[-5, -3, -1, 1, 1, 1, 9],
            &[i64::MIN, 0, i64::MAX],
            &[i64::MIN, i64::MIN / 2, 0, i64::MAX / 2 + 1, i64::MAX],
        ];
        for list in lists {
            let found = progressions(list);
            assert_eq!(found.len(), list.len());
            assert_eq!((0..list.len()).map(|at| found.at(at)).collect::<Vec<_>>(), list);
            let around = |step: &i64| [step.saturating_sub(1), *step, step.saturating_add(1)];
            for step in list.iter().flat_map(around).chain([i64::MIN, 0, 5, i64::MAX]) {
                let below: Vec<i64> = list.iter().copied().filter(|other| *other < step).collect();
                assert_eq!(found.below(step), below.len(), "{step} in {list:?}");
                let mut cut = found.clone();
                cut.truncate(step);
                assert_eq!((0..cut.len()).map(|at| cut.at(at)).collect::<Vec<_>>(), below, "{step} in {list:?}");
            }
        }
    }
}
