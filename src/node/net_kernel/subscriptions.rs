//! `net_kernel:monitor_nodes/1,2`: who hears of which nodes, and in what words.
//!
//! A subscriber is whatever the node can deliver to: a process of ours, a pid elsewhere. Subscriptions are not of the
//! distribution: they are made while it is stopped and hold across stop and start (M13), so there is nothing here to
//! reset. A call by `rpc` is made by a process that ends with it (M5): check its arguments, answer, and subscribe nobody.

use std::collections::HashMap;
use std::hash::Hash;

use eetf::Term;

use super::monitor_options::MonitorOptions;
use crate::term::{as_atom, atom, tuple};

/// The subscriptions of every subscriber `S`.
#[derive(Debug, Clone)]
pub struct Subscriptions<S> {
    subscribers: HashMap<S, Vec<Subscription>>,
}

/// How often one subscriber asked with one set of options.
#[derive(Debug, Clone)]
struct Subscription {
    options: MonitorOptions,
    nesting: u16,
}

impl<S> Default for Subscriptions<S> {
    fn default() -> Self {
        Self { subscribers: HashMap::new() }
    }
}

impl<S: Eq + Hash + Clone> Subscriptions<S> {
    /// `monitor_nodes(Flag)`, or `monitor_nodes(Flag, Options)`, called by `subscriber`; gives what the call returns: `ok`,
    /// `error` for a flag that is none, `{error, Reason}` for wrong options (`net_kernel.erl`, `mk_monitor_nodes_error`).
    ///
    /// `{error, system_limit}` answers the 65,536th nested call with the same options: each makes every message
    /// longer by a copy, and the caller may be on another machine.
    pub fn change(&mut self, subscriber: S, flag: &Term, options: Option<&Term>) -> Term {
        let is_on = match as_atom(flag) {
            Some("true") => true,
            Some("false") => false,
            _ => return atom("error"),
        };
        match MonitorOptions::parse(options) {
            Err(error) => error,
            Ok(options) if !is_on => {
                self.unsubscribe(&subscriber, options);
                atom("ok")
            }
            Ok(options) if self.subscribe(subscriber, options) => atom("ok"),
            Ok(_) => tuple([atom("error"), atom("system_limit")]),
        }
    }

    /// Subscribes once more; false, and no change, if `subscriber` has done so 65,535 times.
    pub fn subscribe(&mut self, subscriber: S, options: MonitorOptions) -> bool {
        let subscriptions = self.subscribers.entry(subscriber).or_default();
        match subscriptions.iter_mut().find(|subscription| subscription.options == options) {
            None => subscriptions.push(Subscription { options, nesting: 1 }),
            Some(subscription) => match subscription.nesting.checked_add(1) {
                Some(nesting) => subscription.nesting = nesting,
                None => return false,
            },
        }
        true
    }

    /// Ends all that `subscriber` subscribed to with these options, however often.
    pub fn unsubscribe(&mut self, subscriber: &S, options: MonitorOptions) {
        let Some(subscriptions) = self.subscribers.get_mut(subscriber) else { return };
        subscriptions.retain(|subscription| subscription.options != options);
        if subscriptions.is_empty() {
            self.subscribers.remove(subscriber);
        }
    }

    /// Forgets a subscriber that has ended.
    pub fn drop_subscriber(&mut self, subscriber: &S) {
        self.subscribers.remove(subscriber);
    }

    /// Whether `subscriber` has a subscription: its end must then be watched.
    #[must_use]
    pub fn has(&self, subscriber: &S) -> bool {
        self.subscribers.contains_key(subscriber)
    }

    /// How many are subscribed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Who hears of a node that is visible, or hidden: each subscriber's subscriptions in their order, with the number of
    /// copies that it gets (`erts/emulator/beam/dist.c`, `send_nodes_mon_msgs`).
    pub fn hearing(&self, is_visible: bool) -> impl Iterator<Item = (&S, MonitorOptions, u16)> {
        let all = self.subscribers.iter().flat_map(|(subscriber, its)| its.iter().map(move |one| (subscriber, one)));
        all.filter(move |(_, subscription)| subscription.options.wants(is_visible))
            .map(|(subscriber, Subscription { options, nesting })| (subscriber, *options, *nesting))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NodeEvent, NodedownReason};
    use super::*;
    use crate::term::{boolean, integer, list, map};

    const PEER: &str = "p@h";
    const ID: u32 = 7;

    fn subscribed(options: &[Option<Term>]) -> Subscriptions<char> {
        let mut subscriptions = Subscriptions::default();
        for options in options {
            assert_eq!(subscriptions.change('a', &boolean(true), options.as_ref()), atom("ok"));
        }
        subscriptions
    }

    fn kind(value: &str) -> Term {
        tuple([atom("node_type"), atom(value)])
    }

    fn told(subscriptions: &Subscriptions<char>, event: NodeEvent, is_visible: bool) -> Vec<Term> {
        let messages = subscriptions.hearing(is_visible).flat_map(|(_, options, copies)| {
            std::iter::repeat_n(options.message(event, PEER, is_visible, ID), copies.into())
        });
        messages.collect()
    }

    fn up(subscriptions: &Subscriptions<char>, is_visible: bool) -> Vec<Term> {
        told(subscriptions, NodeEvent::NodeUp, is_visible)
    }

    fn down(subscriptions: &Subscriptions<char>, is_visible: bool) -> Vec<Term> {
        told(subscriptions, NodeEvent::NodeDown(NodedownReason::ConnectionClosed), is_visible)
    }

    fn message(what: &str, info: Option<Term>) -> Term {
        match info {
            None => tuple([atom(what), atom(PEER)]),
            Some(info) => tuple([atom(what), atom(PEER), info]),
        }
    }

    #[test]
    fn m1_without_options_visible_nodes_and_pairs() {
        for options in [None, Some(list([]))] {
            let subscriptions = subscribed(&[options]);
            assert_eq!(up(&subscriptions, true), [message("nodeup", None)]);
            assert_eq!(down(&subscriptions, true), [message("nodedown", None)]);
            assert_eq!(up(&subscriptions, false), []);
        }
    }

    #[test]
    fn m2_info_has_the_form_of_the_options() {
        let id = || tuple([atom("connection_id"), integer(7)]);
        let reason = || tuple([atom("nodedown_reason"), atom("connection_closed")]);
        let all = list([kind("all"), atom("nodedown_reason"), atom("connection_id")]);
        let subscriptions = subscribed(&[Some(all)]);
        assert_eq!(up(&subscriptions, false), [message("nodeup", Some(list([id(), kind("hidden")])))]);
        let info = list([id(), reason(), kind("visible")]);
        assert_eq!(down(&subscriptions, true), [message("nodedown", Some(info))]);

        let pairs = [("node_type", atom("all")), ("nodedown_reason", boolean(true)), ("connection_id", boolean(true))];
        let subscriptions = subscribed(&[Some(map(pairs.map(|(key, value)| (atom(key), value))))]);
        let mut info = vec![(atom("connection_id"), integer(7)), (atom("node_type"), atom("hidden"))];
        assert_eq!(up(&subscriptions, false), [message("nodeup", Some(map(info.clone())))]);
        info.push((atom("nodedown_reason"), atom("connection_closed")));
        assert_eq!(down(&subscriptions, false), [message("nodedown", Some(map(info)))]);
    }

    #[test]
    fn m2_node_type_only_if_asked_for_and_an_empty_map_is_a_form_too() {
        let subscriptions = subscribed(&[Some(list([atom("nodedown_reason")]))]);
        assert_eq!(up(&subscriptions, true), [message("nodeup", Some(list([])))]);
        assert_eq!(up(&subscribed(&[Some(map([]))]), true), [message("nodeup", Some(map([])))]);
    }

    #[test]
    fn m3_visible_hidden_or_all() {
        for (options, visible, hidden) in
            [(atom("nodedown_reason"), 1, 0), (kind("visible"), 1, 0), (kind("hidden"), 0, 1), (kind("all"), 1, 1)]
        {
            let subscriptions = subscribed(&[Some(list([options.clone()]))]);
            assert_eq!(up(&subscriptions, true).len(), visible, "{options:?}");
            assert_eq!(up(&subscriptions, false).len(), hidden, "{options:?}");
        }
    }

    #[test]
    fn m4_subscriptions_nest_and_one_false_ends_them() {
        let reason_all = || Some(list([atom("nodedown_reason"), kind("all")]));
        let all_reason = || Some(list([kind("all"), atom("nodedown_reason")]));
        let mut subscriptions = subscribed(&[None, None, reason_all(), all_reason(), reason_all()]);
        assert_eq!(up(&subscriptions, true).len(), 5);
        assert_eq!(up(&subscriptions, false).len(), 3);
        assert_eq!(subscriptions.change('a', &boolean(false), None), atom("ok"));
        assert_eq!(up(&subscriptions, true).len(), 3);
        assert_eq!(subscriptions.change('a', &boolean(false), all_reason().as_ref()), atom("ok"));
        assert_eq!(subscriptions.len(), 0);
        assert_eq!(subscriptions.change('a', &boolean(false), all_reason().as_ref()), atom("ok"));
    }

    #[test]
    fn m4_copies_without_bound_are_refused() {
        let mut subscriptions = subscribed(&[]);
        for _ in 0..u16::MAX {
            assert!(subscriptions.subscribe('a', MonitorOptions::default()));
        }
        let limit = tuple([atom("error"), atom("system_limit")]);
        assert_eq!(subscriptions.change('a', &boolean(true), None), limit);
        assert_eq!(subscriptions.change('a', &boolean(false), None), atom("ok"));
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn m5_a_subscription_ends_with_its_subscriber() {
        let mut subscriptions = subscribed(&[None, Some(map([]))]);
        subscriptions.change('b', &boolean(true), None);
        assert!(subscriptions.has(&'a'));
        subscriptions.drop_subscriber(&'a');
        assert!(!subscriptions.has(&'a'));
        assert_eq!(subscriptions.hearing(true).map(|(who, ..)| *who).collect::<Vec<_>>(), ['b']);
        subscriptions.drop_subscriber(&'b');
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn m6_a_bad_flag_is_an_error_whatever_the_options() {
        let mut subscriptions = subscribed(&[]);
        for flag in [atom("foo"), integer(1), list([boolean(true)])] {
            assert_eq!(subscriptions.change('a', &flag, None), atom("error"));
            assert_eq!(subscriptions.change('a', &flag, Some(&atom("foo"))), atom("error"));
        }
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn m6_bad_options_subscribe_nobody() {
        let mut subscriptions = subscribed(&[]);
        for flag in [true, false] {
            let answer = subscriptions.change('a', &boolean(flag), Some(&atom("foo")));
            assert_eq!(answer, tuple([atom("error"), tuple([atom("invalid_options"), atom("foo")])]));
        }
        assert_eq!(subscriptions.len(), 0);
    }

    #[test]
    fn m13_nothing_but_the_subscriber_decides() {
        // No state of the node goes in, so the answer is `ok` before start, and after stop too.
        assert_eq!(up(&subscribed(&[None]), true).len(), 1);
    }
}
