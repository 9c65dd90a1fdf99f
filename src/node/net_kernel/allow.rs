//! `net_kernel:allow/1`: the nodes that may connect to us and that we connect to.
//!
//! The list is looked at before the cookie, so it authenticates nobody, and a refusal says nothing of the cookie (A9).
//! It is asked for new attempts only; connections that are up never look at it (A5).

use std::collections::BTreeSet;

use eetf::Term;

use crate::term::{as_atom, as_list, atom};

/// The list that [`AllowList::add`] adds to. Empty, it allows everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    entries: BTreeSet<String>,
}

/// What is left and right of the `@` in a name or an entry (`dist_util.erl`, `split_node`).
#[derive(PartialEq, Eq)]
enum Split<'a> {
    Node(&'a str, &'a str),
    Host(&'a str),
    Name(&'a str),
    Neither,
}

impl AllowList {
    /// A list with these entries.
    #[must_use]
    pub fn of(entries: &[String]) -> Self {
        Self { entries: entries.iter().cloned().collect() }
    }

    /// `allow(Nodes)`: `ok`, or `error` and no change if `nodes` is not a proper list of atoms
    /// (`net_kernel.erl`, `all_atoms`; anything else than such a list is `error` there too, not an exception).
    pub fn add(&mut self, nodes: &Term) -> Term {
        let names = as_list(nodes).and_then(|nodes| nodes.iter().map(as_atom).collect::<Option<Vec<_>>>());
        match names {
            Some(names) => {
                self.extend(names);
                atom("ok")
            }
            None => atom("error"),
        }
    }

    /// Adds entries: full names, hosts (`h`), or name parts (`a@`).
    pub fn extend<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.entries.extend(names.into_iter().map(str::to_owned));
    }

    /// Whether the node `name`, which dials us, is let in (`dist_util.erl`, `check_allowed`, `is_allowed`).
    #[must_use]
    pub fn admits_inbound(&self, name: &str) -> bool {
        self.admits_outbound(name) || self.entries.iter().any(|entry| matches(entry, name))
    }

    /// Whether we may dial the node `name`: entries that stand for many nodes do not count
    /// (`net_kernel.erl`, `setup_check`).
    #[must_use]
    pub fn admits_outbound(&self, name: &str) -> bool {
        self.entries.is_empty() || self.entries.contains(name)
    }
}

fn matches(entry: &str, name: &str) -> bool {
    match (split(entry), split(name)) {
        (Split::Host(allowed), Split::Node(_, host)) => allowed == host,
        (Split::Name(allowed), Split::Node(name, _)) => allowed == name,
        _ => false,
    }
}

fn split(name: &str) -> Split<'_> {
    let mut parts = name.split('@');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(host), None, None) if !host.is_empty() => Split::Host(host),
        (Some(name), Some(host), None) if !name.is_empty() => {
            if host.is_empty() {
                Split::Name(name)
            } else {
                Split::Node(name, host)
            }
        }
        _ => Split::Neither,
    }
}

#[cfg(test)]
mod tests {
    use eetf::ImproperList;

    use super::*;
    use crate::term::{integer, list, string, tuple};

    fn atoms(names: &[&str]) -> Term {
        list(names.iter().map(|name| atom(name)).collect::<Vec<_>>())
    }

    fn allowing(names: &[&str]) -> AllowList {
        let mut allow = AllowList::default();
        assert_eq!(allow.add(&atoms(names)), atom("ok"));
        allow
    }

    #[test]
    fn a1_an_empty_list_allows_everybody() {
        let allow = AllowList::default();
        assert!(allow.admits_inbound("a@h"));
        assert!(allow.admits_outbound("a@h"));
    }

    #[test]
    fn a2_lists_accumulate_and_duplicates_collapse() {
        let mut allow = allowing(&["a@h"]);
        assert!(!allow.admits_inbound("b@h"));
        assert_eq!(allow.add(&atoms(&["b@h", "a@h", "b@h"])), atom("ok"));
        for name in ["a@h", "b@h"] {
            assert!(allow.admits_inbound(name) && allow.admits_outbound(name), "{name}");
        }
        assert_eq!(allow.entries.len(), 2);
    }

    #[test]
    fn a3_a4_others_are_refused_in_both_directions() {
        let allow = allowing(&["a@h"]);
        for name in ["b@h", "a@g", "a@h.example", "aa@h", "A@h"] {
            assert!(!allow.admits_inbound(name) && !allow.admits_outbound(name), "{name}");
        }
    }

    #[test]
    fn a5_a_node_on_no_list_is_refused_only_when_asked() {
        // The list knows no connections: one that is up is not looked at, whatever is added.
        let mut allow = AllowList::default();
        assert!(allow.admits_inbound("c@h"));
        allow.extend(["a@h"]);
        assert!(!allow.admits_inbound("c@h"));
    }

    #[test]
    fn a6_host_and_name_entries_match_inbound_only() {
        for (entry, inside, outside) in [("h", "x@h", "x@g"), ("a@", "a@anywhere", "b@anywhere")] {
            let allow = allowing(&[entry]);
            assert!(allow.admits_inbound(inside), "{entry} lets {inside} in");
            assert!(!allow.admits_inbound(outside), "{entry} keeps {outside} out");
            assert!(!allow.admits_outbound(inside), "{entry} is no reason to dial {inside}");
        }
    }

    #[test]
    fn a6_entries_that_are_neither_match_nobody() {
        let allow = allowing(&["@h", "a@h@h", "", "@"]);
        for name in ["a@h", "x@h", "a@x"] {
            assert!(!allow.admits_inbound(name), "{name}");
        }
    }

    #[test]
    fn a7_a_list_with_another_element_is_an_error_and_changes_nothing() {
        let mut allow = allowing(&["a@h"]);
        let before = allow.clone();
        assert_eq!(allow.add(&list([atom("b@h"), integer(1)])), atom("error"));
        assert_eq!(allow.add(&string("ab")), atom("error"));
        assert_eq!(allow, before);
        assert_eq!(allow.add(&list([])), atom("ok"));
        assert_eq!(allow, before);
    }

    #[test]
    fn a7_allowing_nobody_is_not_a_list_yet() {
        let mut allow = AllowList::default();
        assert_eq!(allow.add(&list([])), atom("ok"));
        assert!(allow.admits_inbound("a@h"));
    }

    #[test]
    fn a8_what_is_no_list_is_an_error() {
        let mut allow = AllowList::default();
        let improper = ImproperList { elements: vec![atom("a")], last: Box::new(atom("b")) };
        for bad in [atom("a"), tuple([atom("a")]), improper.into(), integer(1)] {
            assert_eq!(allow.add(&bad), atom("error"));
        }
        assert_eq!(allow, AllowList::default());
        assert_eq!(allow.add(&atoms(&["notalist_but_atom"])), atom("ok"));
    }
}
