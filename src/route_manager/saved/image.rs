//! What the records of a journal amount to. The writer keeps the same image as a reader will get, so it knows what the
//! disk lacks.

use std::collections::{BTreeMap, BTreeSet};

use super::super::owners::{OwnerPolicy, Policies};
use super::record::{Record, Reported};
use crate::route::{DesiredState, IfName, MAX_CLEARED, Metric, RestoreError, Wish};

/// The parts of a desired state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    interfaces: BTreeMap<IfName, Wish>,
    metrics: BTreeMap<IfName, Metric>,
    cleared: Vec<IfName>,
    policies: Policies,
}

/// Where an image may differ from a state.
#[derive(Debug)]
pub(super) enum Extent {
    /// Anywhere.
    All,
    /// In what is wanted of these interfaces, in the cleared ones, and perhaps in the owners' policies.
    Touched { interfaces: BTreeSet<IfName>, policies: bool },
}

impl Image {
    /// The image of a state, and of the owners' policies.
    pub(super) fn of(state: &DesiredState, policies: &Policies) -> Self {
        Self {
            policies: policies.clone(),
            interfaces: state.interfaces().clone(),
            metrics: state.metrics().clone(),
            cleared: state.cleared().collect(),
        }
    }

    /// The state.
    pub(super) fn restore(&self, max_interfaces: usize) -> Result<DesiredState, RestoreError> {
        let Self { interfaces, metrics, cleared, policies: _ } = self.clone();
        DesiredState::restore(max_interfaces, interfaces, metrics, cleared)
    }

    /// The owners' policies.
    pub(super) const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Takes a record in.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence; nothing has changed then.
    pub(super) fn apply(&mut self, record: Record) -> Result<(), String> {
        note_cleared(&mut self.cleared, &record);
        match record {
            Record::Wish(name, wish) => {
                self.interfaces.insert(name, wish);
            }
            Record::Status(name, reported) => {
                let wish = self.interfaces.get_mut(&name).ok_or_else(|| format!("nothing is known of {name}"))?;
                reported.put_into(wish);
            }
            Record::Clear(name) => {
                self.interfaces.remove(&name);
            }
            Record::Metric(name, Some(metric)) => {
                self.metrics.insert(name, metric);
            }
            Record::Metric(name, None) => {
                self.metrics.remove(&name);
            }
            Record::Policy(node, OwnerPolicy::Keep) => {
                self.policies.remove(&node);
            }
            Record::Policy(node, policy) => {
                self.policies.insert(node, policy);
            }
            Record::Cleared(_) => {}
        }
        Ok(())
    }

    /// The records that make an empty image this one.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let cleared = (!self.cleared.is_empty()).then(|| Record::Cleared(self.cleared.clone()));
        let wishes = self.interfaces.iter().map(|(name, wish)| Record::Wish(*name, wish.clone()));
        let metrics = self.metrics.iter().map(|(name, metric)| Record::Metric(*name, Some(*metric)));
        let policies = self.policies.iter().map(|(node, policy)| Record::Policy(node.clone(), *policy));
        wishes.chain(metrics).chain(cleared).chain(policies)
    }

    /// The records that make this image that of `state` and `policies`, from which it differs within `extent` only.
    pub(super) fn missing(&self, state: &DesiredState, policies: &Policies, extent: &Extent) -> Vec<Record> {
        let (touched, has_new_policies) = match extent {
            Extent::All => (None, true),
            Extent::Touched { interfaces, policies } => (Some(interfaces), *policies),
        };
        let (mut records, mut gone) = (Vec::new(), Vec::new());
        for (name, wish) in differences(&self.interfaces, state.interfaces(), touched) {
            match wish {
                Some(wish) => records.push(self.change_to(name, wish)),
                None => gone.push(name),
            }
        }
        if gone.len() > 1 {
            let place: BTreeMap<IfName, usize> = state.cleared().enumerate().map(|(at, name)| (name, at)).collect();
            gone.sort_by_key(|name| place.get(name).copied());
        }
        records.extend(gone.into_iter().map(Record::Clear));
        let metrics = differences(&self.metrics, state.metrics(), touched);
        records.extend(metrics.into_iter().map(|(name, metric)| Record::Metric(name, metric.copied())));
        // Names that were set and cleared again in one batch are not among the differences.
        let mut cleared = self.cleared.clone();
        records.iter().for_each(|record| note_cleared(&mut cleared, record));
        if !state.cleared().eq(cleared) {
            records.push(Record::Cleared(state.cleared().collect()));
        }
        if has_new_policies {
            let policies = differences(&self.policies, policies, None).into_iter();
            records.extend(policies.map(|(node, policy)| Record::Policy(node, policy.copied().unwrap_or_default())));
        }
        records
    }

    /// The shortest record that makes what is wanted of `name` to this.
    fn change_to(&self, name: IfName, wish: &Wish) -> Record {
        let reported = self.interfaces.get(&name).and_then(|before| Reported::between(before, wish));
        reported.map_or_else(|| Record::Wish(name, wish.clone()), |reported| Record::Status(name, reported))
    }
}

/// What a record does to the cleared interfaces: the same as [`DesiredState`]'s methods.
fn note_cleared(cleared: &mut Vec<IfName>, record: &Record) {
    match record {
        Record::Wish(name, _) => cleared.retain(|other| other != name),
        Record::Clear(name) => {
            cleared.retain(|other| other != name);
            cleared.push(*name);
            if cleared.len() > MAX_CLEARED {
                cleared.remove(0);
            }
        }
        // What is known is not cleared.
        Record::Status(..) | Record::Metric(..) | Record::Policy(..) => {}
        Record::Cleared(names) => cleared.clone_from(names),
    }
}

/// Keys whose values differ, with the new value; only those of `touched` are looked at, if that is said.
fn differences<'a, K: Ord + Clone, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    touched: Option<&BTreeSet<K>>,
) -> Vec<(K, Option<&'a V>)> {
    let Some(touched) = touched else { return all_differences(old, new) };
    let differing = touched.iter().map(|key| (key, new.get(key))).filter(|(key, value)| old.get(key) != *value);
    differing.map(|(key, value)| (key.clone(), value)).collect()
}

/// One walk through both, whatever their sizes.
fn all_differences<'a, K: Ord + Clone, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> Vec<(K, Option<&'a V>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut differences = Vec::new();
    loop {
        let (before, after) = match (old.peek(), new.peek()) {
            (None, None) => return differences,
            (Some((left, _)), Some((right, _))) if left == right => (old.next(), new.next()),
            (Some((left, _)), right) if right.is_none_or(|(right, _)| left < right) => (old.next(), None),
            _ => (None, new.next()),
        };
        match (before, after) {
            (Some((_, before)), Some((_, after))) if before == after => {}
            (_, Some((name, value))) => differences.push((name.clone(), Some(value))),
            (Some((name, _)), None) => differences.push((name.clone(), None)),
            (None, None) => {}
        }
    }
}
