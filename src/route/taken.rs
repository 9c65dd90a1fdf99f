//! Which tables the interfaces have, so that a free one is found without a look at each interface.

use std::collections::BTreeMap;

/// A set of numbers that mostly follow one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The last of each run of numbers, by its first. Between two runs there is a number that is not taken.
    runs: BTreeMap<u32, u32>,
}

impl Taken {
    pub(super) const fn new() -> Self {
        Self { runs: BTreeMap::new() }
    }

    /// The run that `number` is in.
    fn run(&self, number: u32) -> Option<(u32, u32)> {
        let (first, last) = self.runs.range(..=number).next_back()?;
        (*last >= number).then_some((*first, *last))
    }

    /// Says whether it was free.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        if self.run(number).is_some() {
            return false;
        }
        let before = number.checked_sub(1).and_then(|before| self.run(before));
        let after = number.checked_add(1).and_then(|after| self.runs.remove(&after));
        self.runs.insert(before.map_or(number, |(first, _)| first), after.unwrap_or(number));
        true
    }

    pub(super) fn remove(&mut self, number: u32) {
        let Some((first, last)) = self.run(number) else { return };
        self.runs.remove(&first);
        if first < number {
            self.runs.insert(first, number.saturating_sub(1));
        }
        if number < last {
            self.runs.insert(number.saturating_add(1), last);
        }
    }

    /// The numbers that are not taken, from `start` on.
    pub(super) fn free_from(&self, start: u32) -> impl Iterator<Item = u32> {
        let mut next = Some(start);
        std::iter::from_fn(move || {
            while let Some((_, last)) = next.and_then(|number| self.run(number)) {
                next = last.checked_add(1);
            }
            let free = next?;
            next = free.checked_add(1);
            Some(free)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes and goes, also at both ends of the numbers: the same as a set, and the same however it came about.
        #[test]
        fn a_set_of_numbers(steps in prop::collection::vec((prop_oneof![0..12_u32, u32::MAX - 4..=u32::MAX], any::<bool>()), 0..60)) {
            let (mut taken, mut set) = (Taken::new(), BTreeSet::new());
            for (number, is_in) in steps {
                if is_in {
                    prop_assert_eq!(taken.insert(number), set.insert(number));
                } else {
                    taken.remove(number);
                    set.remove(&number);
                }
                let free: Vec<u32> = (3..16).filter(|number| !set.contains(number)).collect();
                prop_assert_eq!(taken.free_from(3).take(free.len()).collect::<Vec<_>>(), free);
                let last: Vec<u32> = (u32::MAX - 6..=u32::MAX).filter(|number| !set.contains(number)).collect();
                prop_assert_eq!(taken.free_from(u32::MAX - 6).collect::<Vec<_>>(), last);
                let mut anew = Taken::new();
                set.iter().rev().for_each(|number| _ = anew.insert(*number));
                prop_assert_eq!(&anew, &taken);
            }
        }
    }
}
