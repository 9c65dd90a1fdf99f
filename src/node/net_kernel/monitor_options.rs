//! The options of `net_kernel:monitor_nodes/2`: what they ask for, and what is said of wrong ones.
//!
//! OTP keeps them as bits (`erts/emulator/beam/dist.c`, `erts_monitor_nodes`), so two option terms are the same
//! subscription if they set the same bits, whatever their order; the errors are made by `check_options` in `net_kernel.erl`,
//! with its quirks: a list with `connection_id` and something unknown calls both unknown (OTP 25 and 27).

use eetf::Term;

use super::NodeEvent;
use crate::term::{as_atom, as_list, as_tuple, atom, integer, list, map, tuple};

/// `{node_type, Type}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeType {
    /// Published on both sides.
    Visible,
    /// `PUBLISHED` is missing on one side at least.
    Hidden,
    /// Both.
    All,
}

/// What a subscriber wants to hear and know. The default is that of `monitor_nodes/1`: visible nodes, no Info.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MonitorOptions {
    /// Which nodes; `None` means visible ones, without a `node_type` in Info.
    pub node_type: Option<NodeType>,
    /// Whether Info of a nodedown says why.
    pub nodedown_reason: bool,
    /// Whether Info has the connection id.
    pub connection_id: bool,
    /// Whether Info is a map, and there even when it is empty.
    pub as_map: bool,
}

impl MonitorOptions {
    /// Understands the second argument of `monitor_nodes/2`; `None` stands for `monitor_nodes/1`.
    ///
    /// # Errors
    /// The `{error, Reason}` that the call returns (M6).
    pub fn parse(options: Option<&Term>) -> Result<Self, Term> {
        match options {
            None => Ok(Self::default()),
            Some(Term::Map(options)) => Self::from_map(options),
            Some(Term::ImproperList(options)) => Err(improper_list(&options.elements)),
            Some(options) => match as_list(options) {
                Some(elements) => Self::from_list(elements),
                None => Err(error("invalid_options", options.clone())),
            },
        }
    }

    /// Whether a node that is visible, or hidden, is of interest.
    #[must_use]
    pub fn wants(&self, is_visible: bool) -> bool {
        match self.node_type {
            None | Some(NodeType::Visible) => is_visible,
            Some(NodeType::Hidden) => !is_visible,
            Some(NodeType::All) => true,
        }
    }

    /// What is told of `node`. `connection_id` is the same number at nodeup and at nodedown of one connection.
    #[must_use]
    pub fn message(&self, event: NodeEvent, node: &str, is_visible: bool, connection_id: u32) -> Term {
        let (what, reason) = match event {
            NodeEvent::NodeUp => ("nodeup", None),
            NodeEvent::NodeDown(reason) => ("nodedown", Some(reason.to_term())),
        };
        match self.info(is_visible, &integer(i64::from(connection_id)), reason.as_ref()) {
            None => tuple([atom(what), atom(node)]),
            Some(info) => tuple([atom(what), atom(node), info]),
        }
    }

    /// Info in the form asked for; `None` if messages have none. A `reason` is there in a nodedown only. The order of
    /// a list is OTP's (`dist.c`, `send_nodes_mon_msgs`).
    fn info(&self, is_visible: bool, connection_id: &Term, reason: Option<&Term>) -> Option<Term> {
        if *self == Self::default() {
            return None;
        }
        let id = self.connection_id.then(|| (atom("connection_id"), connection_id.clone()));
        let reason = reason.filter(|_| self.nodedown_reason).map(|reason| (atom("nodedown_reason"), reason.clone()));
        let node_type = atom(if is_visible { "visible" } else { "hidden" });
        let node_type = self.node_type.map(|_| (atom("node_type"), node_type));
        let pairs = [id, reason, node_type].into_iter().flatten();
        Some(if self.as_map {
            map(pairs)
        } else {
            list(pairs.map(|(key, value)| tuple([key, value])).collect::<Vec<_>>())
        })
    }

    fn from_list(elements: &[Term]) -> Result<Self, Term> {
        let mut options = Self::default();
        let mut is_known = true;
        for element in elements {
            match (as_atom(element), node_type_option(element)) {
                (Some("nodedown_reason"), _) => options.nodedown_reason = true,
                (Some("connection_id"), _) => options.connection_id = true,
                (None, Some(value)) => match (node_type(value), options.node_type) {
                    (Some(new), None) => options.node_type = Some(new),
                    (Some(new), Some(old)) if new == old => {}
                    _ => is_known = false,
                },
                _ => is_known = false,
            }
        }
        if is_known { Ok(options) } else { Err(list_error(elements)) }
    }

    fn from_map(options: &eetf::Map) -> Result<Self, Term> {
        let mut rest = options.map.clone();
        let mut take = |key: &str| rest.remove(&atom(key));
        let (id, reason, kind) = (take("connection_id"), take("nodedown_reason"), take("node_type"));
        let bad = |key, value| error("bad_option_value", map([(atom(key), value)]));
        let flag = |key, value: Option<Term>| {
            let Some(value) = value else { return Ok(false) };
            match as_atom(&value) {
                Some("false") => Ok(false),
                Some("true") => Ok(true),
                _ => Err(bad(key, value)),
            }
        };
        let connection_id = flag("connection_id", id)?;
        let nodedown_reason = flag("nodedown_reason", reason)?;
        let node_type = match kind {
            None => None,
            Some(value) => Some(node_type(&value).ok_or_else(|| bad("node_type", value))?),
        };
        if !rest.is_empty() {
            return Err(error("unknown_options", map(rest)));
        }
        Ok(Self { node_type, nodedown_reason, connection_id, as_map: true })
    }
}

fn node_type(value: &Term) -> Option<NodeType> {
    match as_atom(value)? {
        "visible" => Some(NodeType::Visible),
        "hidden" => Some(NodeType::Hidden),
        "all" => Some(NodeType::All),
        _ => None,
    }
}

/// The value of `{node_type, Value}`.
fn node_type_option(option: &Term) -> Option<&Term> {
    let [key, value] = as_tuple::<2>(option)?;
    (as_atom(key) == Some("node_type")).then_some(value)
}

fn error(what: &str, of: Term) -> Term {
    tuple([atom("error"), tuple([atom(what), of])])
}

/// `check_options` for a list that is wrong somewhere. What is unknown is listed in the order that `check_opt` leaves:
/// each option that it finds turns the rest around.
fn list_error(elements: &[Term]) -> Term {
    let mut types = elements.iter().filter(|element| node_type_option(element).is_some());
    let mut rest: Vec<_> = elements.to_vec();
    if let Some(first) = types.next() {
        if let Some(other) = types.find(|other| *other != first) {
            return error("option_value_mismatch", list([other.clone(), first.clone()]));
        }
        if node_type_option(first).and_then(node_type).is_none() {
            return error("bad_option_value", first.clone());
        }
        rest.retain(|element| node_type_option(element).is_none());
        rest.reverse();
    }
    let reason = atom("nodedown_reason");
    if rest.contains(&reason) {
        rest.retain(|element| *element != reason);
        rest.reverse();
    }
    error("unknown_options", list(rest))
}

/// OTP takes an improper list for a list until `check_opt` falls off its end.
fn improper_list(elements: &[Term]) -> Term {
    let error_of_elements = list_error(elements);
    if let Some([_, reason]) = as_tuple::<2>(&error_of_elements)
        && let Some([what, _]) = as_tuple::<2>(reason)
        && as_atom(what) == Some("option_value_mismatch")
    {
        return error_of_elements;
    }
    error("internal_error", tuple([atom("EXIT"), tuple([atom("function_clause"), list([])])]))
}

#[cfg(test)]
mod tests {
    use eetf::ImproperList;

    use super::*;
    use crate::term::boolean;

    fn kind(value: &str) -> Term {
        tuple([atom("node_type"), atom(value)])
    }

    fn parse(options: Term) -> Result<MonitorOptions, Term> {
        MonitorOptions::parse(Some(&options))
    }

    #[test]
    fn m4_the_order_of_options_does_not_matter() {
        let options = [kind("all"), atom("nodedown_reason"), atom("connection_id")];
        let reversed: Vec<_> = options.iter().rev().cloned().collect();
        let wanted = MonitorOptions {
            node_type: Some(NodeType::All),
            nodedown_reason: true,
            connection_id: true,
            as_map: false,
        };
        assert_eq!(parse(list(options)), Ok(wanted));
        assert_eq!(parse(list(reversed)), Ok(wanted));
        assert_eq!(parse(list([kind("all"), kind("all")])), parse(list([kind("all")])));
    }

    #[test]
    fn m4_lists_and_maps_differ_and_false_in_a_map_is_nothing() {
        let pairs = [(atom("nodedown_reason"), boolean(false)), (atom("connection_id"), boolean(true))];
        let from_map = parse(map(pairs));
        assert_eq!(from_map, parse(map([(atom("connection_id"), boolean(true))])));
        assert_ne!(from_map, parse(list([atom("connection_id")])));
        assert_eq!(parse(list([])), Ok(MonitorOptions::default()));
        assert_ne!(parse(map([])), Ok(MonitorOptions::default()));
    }

    /// Each row as OTP 25 and 27 answer it.
    #[test]
    fn m6_bad_lists() {
        let foo = atom("foo");
        let reason = atom("nodedown_reason");
        let id = atom("connection_id");
        let unknown = |rest: &[Term]| error("unknown_options", list(rest));
        let rows = [
            (list([foo.clone()]), unknown(std::slice::from_ref(&foo))),
            (list([id.clone(), foo.clone()]), unknown(&[id.clone(), foo.clone()])),
            (
                list([foo.clone(), id.clone(), atom("bar"), reason.clone(), kind("visible")]),
                unknown(&[foo.clone(), id.clone(), atom("bar")]),
            ),
            (list([foo.clone(), atom("bar"), reason.clone()]), unknown(&[atom("bar"), foo.clone()])),
            (list([tuple([reason.clone(), boolean(true)])]), unknown(&[tuple([reason.clone(), boolean(true)])])),
            (list([kind("foo")]), error("bad_option_value", kind("foo"))),
            (
                list([kind("visible"), kind("hidden")]),
                error("option_value_mismatch", list([kind("hidden"), kind("visible")])),
            ),
            (
                list([kind("foo"), kind("visible")]),
                error("option_value_mismatch", list([kind("visible"), kind("foo")])),
            ),
        ];
        for (options, answer) in rows {
            assert_eq!(parse(options), Err(answer));
        }
    }

    #[test]
    fn m6_bad_maps() {
        let pair = |key: &str, value: Term| map([(atom(key), value)]);
        for (key, value) in [("node_type", "foo"), ("nodedown_reason", "foo"), ("connection_id", "foo")] {
            let options = pair(key, atom(value));
            assert_eq!(parse(options.clone()), Err(error("bad_option_value", options)));
        }
        let options = map([(atom("connection_id"), integer(1)), (atom("zz"), integer(2))]);
        assert_eq!(parse(options), Err(error("bad_option_value", pair("connection_id", integer(1)))));
        let options = map([(atom("connection_id"), boolean(true)), (atom("a"), integer(1))]);
        assert_eq!(parse(options), Err(error("unknown_options", pair("a", integer(1)))));
        let options = pair("list", boolean(true));
        assert_eq!(parse(options.clone()), Err(error("unknown_options", options)));
    }

    #[test]
    fn m6_neither_list_nor_map() {
        for options in [atom("foo"), tuple([atom("a")]), integer(1)] {
            assert_eq!(parse(options.clone()), Err(error("invalid_options", options)));
        }
        let improper = ImproperList { elements: vec![atom("nodedown_reason")], last: Box::new(atom("foo")) };
        let exit = tuple([atom("EXIT"), tuple([atom("function_clause"), list([])])]);
        assert_eq!(parse(improper.into()), Err(error("internal_error", exit)));
    }
}
