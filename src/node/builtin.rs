//! The functions that the node itself answers over `rpc` and `erpc`. Whatever is not here is undefined.

use eetf::{Atom, Term};

use super::{Answer, Node, NodeInfo};
use crate::term::{as_atom, as_list, atom, integer, list};

/// Applies `module:function(args)`; `None` if there is no such function.
pub(super) fn apply(node: &Node, module: &str, function: &str, args: &[Term]) -> Option<Answer> {
    let value = match (module, function, args) {
        ("net_kernel", "get_net_ticktime", []) => {
            integer(i64::try_from(node.net_ticktime().as_secs()).unwrap_or(i64::MAX))
        }
        ("erlang", "node", []) => atom(node.name()),
        ("erlang", "nodes", []) => names(node, |info| info.is_visible),
        ("erlang", "nodes", [which]) => match nodes(node, which) {
            Some(names) => names,
            None => {
                let (module, function) = (Atom::from("erlang"), Atom::from("nodes"));
                return Some(Answer::error("badarg", &module, &function, args));
            }
        },
        _ => return None,
    };
    Some(Answer::Value(value))
}

/// `erlang:nodes/1`: an atom or a list of them.
fn nodes(node: &Node, which: &Term) -> Option<Term> {
    let kinds = match as_list(which) {
        Some(kinds) => kinds.iter().map(as_atom).collect::<Option<Vec<_>>>()?,
        None => vec![as_atom(which)?],
    };
    let mut found = Vec::new();
    for kind in kinds {
        match kind {
            "visible" => found.extend(node.nodes(|info| info.is_visible)),
            "hidden" => found.extend(node.nodes(|info| !info.is_visible)),
            "connected" => found.extend(node.nodes(|_| true)),
            "this" => found.push(node.name().to_owned()),
            "known" => {
                found.extend(node.nodes(|_| true));
                found.push(node.name().to_owned());
            }
            _ => return None,
        }
    }
    found.sort();
    found.dedup();
    Some(list(found.iter().map(|name| atom(name)).collect::<Vec<_>>()))
}

fn names(node: &Node, which: fn(&NodeInfo) -> bool) -> Term {
    list(node.nodes(which).iter().map(|name| atom(name)).collect::<Vec<_>>())
}
