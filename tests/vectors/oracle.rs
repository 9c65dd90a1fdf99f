//! The recorded vectors, read.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::kernel::State;
use crate::support::{Link, repository};

pub struct Vector {
    pub id: String,
    pub tags: Vec<String>,
    pub topology: Vec<Link>,
    pub pre: Vec<Vec<String>>,
    pub max_interfaces: u64,
    pub initial: State,
    pub steps: Vec<Step>,
    pub is_consistent: bool,
}

pub struct Step {
    pub op: Op,
    pub has_crashed: bool,
    pub entries: Value,
    pub props: Value,
    pub kernel: State,
    /// The operation as it was recorded, for messages.
    pub text: String,
}

#[derive(Debug, Clone)]
pub enum Op {
    SetRoute { name: String, subnets: Vec<(String, u64)>, gateway: Option<String> },
    SetStatus { name: String, status: String },
    Clear { name: String },
    Refresh,
    Env(Vec<String>),
    EnvPeer(Vec<String>),
    Restart,
}

/// Every vector of the fixture.
pub fn read() -> Vec<Vector> {
    let file = std::fs::File::open(repository("tests/fixtures/oracle/kernel_public.jsonl.gz")).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let vectors: Vec<Vector> = text.lines().map(|line| Vector::of(&serde_json::from_str(line).unwrap())).collect();
    assert!(vectors.len() > 100, "the fixture is whole");
    vectors
}

impl Vector {
    fn of(json: &Value) -> Self {
        let topology = json["topology"].as_array().unwrap().iter().map(|link| Link {
            name: text(&link["if"]),
            addresses: texts(&link["addrs"]),
            is_up: link["up"].as_bool().unwrap_or(true),
        });
        Self {
            id: text(&json["id"]),
            tags: texts(&json["tags"]),
            topology: topology.collect(),
            pre: json["pre"].as_array().map(|pre| pre.iter().map(texts).collect()).unwrap_or_default(),
            max_interfaces: json["max_interface_count"].as_u64().unwrap(),
            initial: State::of_recording(&json["initial"]),
            steps: json["steps"].as_array().unwrap().iter().map(Step::of).collect(),
            is_consistent: json["consistent"].as_bool().unwrap(),
        }
    }
}

impl Step {
    fn of(json: &Value) -> Self {
        let op = &json["op"];
        let name = || text(&op["if"]);
        Self {
            op: match op["op"].as_str().unwrap() {
                "set_route" => Op::SetRoute {
                    name: name(),
                    subnets: op["subnets"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|subnet| (text(&subnet[0]), subnet[1].as_u64().unwrap()))
                        .collect(),
                    gateway: op["gw"].as_str().map(str::to_owned),
                },
                "set_connection_status" => Op::SetStatus { name: name(), status: text(&op["status"]) },
                "clear_route" => Op::Clear { name: name() },
                "refresh_route_metrics" => Op::Refresh,
                "env" => Op::Env(texts(&op["ip"])),
                "env_peer" => Op::EnvPeer(texts(&op["ip"])),
                "restart" => Op::Restart,
                other => panic!("an operation that nobody wrote down: {other}"),
            },
            has_crashed: json["reply"] == "crash",
            entries: json["entries"].clone(),
            props: json["props"].clone(),
            kernel: State::of_recording(&json["kernel"]),
            text: op.to_string(),
        }
    }

    /// Whether this is a change in the world and not a call.
    pub const fn is_of_the_world(&self) -> bool {
        matches!(self.op, Op::Env(_) | Op::EnvPeer(_) | Op::Restart)
    }
}

impl Op {
    /// The request as an Erlang expression.
    pub fn term(&self) -> String {
        let address = |ip: &str| format!("element(2, inet:parse_address({ip:?}))");
        match self {
            Self::SetRoute { name, subnets, gateway } => {
                let subnets: Vec<String> =
                    subnets.iter().map(|(ip, bits)| format!("{{{}, {bits}}}", address(ip))).collect();
                let gateway = gateway.as_ref().map_or_else(|| "nil".to_owned(), |ip| address(ip));
                format!("{{set_route, <<{name:?}>>, [{}], {gateway}}}", subnets.join(", "))
            }
            Self::SetStatus { name, status } => {
                format!("{{set_connection_status, <<{name:?}>>, {status}, <<\"vector\">>}}")
            }
            Self::Clear { name } => format!("{{clear_route, <<{name:?}>>}}"),
            Self::Refresh => "refresh_route_metrics".to_owned(),
            Self::Env(_) | Self::EnvPeer(_) | Self::Restart => panic!("{self:?} is no call"),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}
