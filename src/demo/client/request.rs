//! The calls of the story: as terms, and as they are typed at `iex` and `erl`. What is printed is what is run.

use std::net::Ipv4Addr;

use crate::demo::network::{PREFIX_LEN, Uplink};
use crate::route::Status;
use crate::term::{Show, Term, atom, binary, integer, list, string, tuple};

/// The language that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// As at `iex`.
    Elixir,
    /// As at `erl`.
    Erlang,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Connect to the node.
    Connect,
    /// `set_route`
    SetRoute(Uplink),
    /// `set_connection_status`
    SetStatus(Uplink, Status),
}

impl Request {
    /// The call as it is typed.
    #[must_use]
    pub fn text(&self, syntax: Syntax, node: &str) -> String {
        match (self, syntax) {
            (Self::Connect, Syntax::Elixir) => format!("Node.connect(:\"{node}\")"),
            (Self::Connect, Syntax::Erlang) => format!("net_kernel:connect_node('{node}')"),
            (_, Syntax::Elixir) => format!("GenServer.call(rm, {})", elixir(&self.term(syntax))),
            (_, Syntax::Erlang) => format!("gen_server:call(Rm, {})", Show(&self.term(syntax))),
        }
    }

    /// What it sends. Names of interfaces are what the language has for text.
    #[must_use]
    pub fn term(&self, syntax: Syntax) -> Term {
        let text = |text: &str| if syntax == Syntax::Elixir { binary(text) } else { string(text) };
        match self {
            Self::Connect => atom("connect"),
            Self::SetRoute(uplink) => {
                let subnet = tuple([address(uplink.address), integer(i64::from(PREFIX_LEN))]);
                tuple([atom("set_route"), text(uplink.ifname), list([subnet]), address(uplink.gateway)])
            }
            Self::SetStatus(uplink, status) => {
                tuple([atom("set_connection_status"), text(uplink.ifname), atom(status.as_str())])
            }
        }
    }

    /// The reply to expect.
    #[must_use]
    pub const fn expected(&self, syntax: Syntax) -> &'static str {
        match (self, syntax) {
            (Self::Connect, _) => "true",
            (_, Syntax::Elixir) => ":ok",
            (_, Syntax::Erlang) => "ok",
        }
    }
}

impl Syntax {
    /// How the registered process is called in the calls: to be typed once.
    #[must_use]
    pub fn definition(self, node: &str) -> String {
        match self {
            Self::Elixir => format!("rm = {{:route_manager, :\"{node}\"}}"),
            Self::Erlang => format!("Rm = {{route_manager, '{node}'}}."),
        }
    }

    /// What runs it without a shell.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Elixir => "elixir",
            Self::Erlang => "erl",
        }
    }

    /// Where to type it.
    #[must_use]
    pub const fn shell(self) -> &'static str {
        match self {
            Self::Elixir => "iex",
            Self::Erlang => "erl",
        }
    }
}

fn address(ip: Ipv4Addr) -> Term {
    tuple(ip.octets().map(|byte| integer(i64::from(byte))))
}

/// A term as Elixir writes it; only the kinds that requests are made of.
fn elixir(term: &Term) -> String {
    let all = |terms: &[Term]| terms.iter().map(elixir).collect::<Vec<_>>().join(", ");
    match term {
        Term::Atom(atom) => format!(":{}", atom.name),
        Term::Binary(binary) => format!("{:?}", String::from_utf8_lossy(&binary.bytes)),
        Term::List(list) => format!("[{}]", all(&list.elements)),
        Term::Tuple(tuple) => format!("{{{}}}", all(&tuple.elements)),
        other => Show(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::network::ETH0;

    #[test]
    fn as_typed() {
        let node = "n@127.0.0.1";
        for (request, elixir, erlang) in [
            (Request::Connect, r#"Node.connect(:"n@127.0.0.1")"#, "net_kernel:connect_node('n@127.0.0.1')"),
            (
                Request::SetRoute(ETH0),
                r#"GenServer.call(rm, {:set_route, "eth0", [{{192, 168, 1, 50}, 24}], {192, 168, 1, 1}})"#,
                r#"gen_server:call(Rm, {set_route,"eth0",[{{192,168,1,50},24}],{192,168,1,1}})"#,
            ),
            (
                Request::SetStatus(ETH0, Status::Lan),
                r#"GenServer.call(rm, {:set_connection_status, "eth0", :lan})"#,
                r#"gen_server:call(Rm, {set_connection_status,"eth0",lan})"#,
            ),
        ] {
            assert_eq!(request.text(Syntax::Elixir, node), elixir);
            assert_eq!(request.text(Syntax::Erlang, node), erlang);
        }
    }
}
