//! One change of the desired state, and its form in JSON. Nothing read is believed before the constructors that check
//! requests have checked it too.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::owners::OwnerPolicy;
use crate::route::{IfName, Metric, SetBy, Status, Subnet, Wish, is_unicast};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub(super) enum Record {
    /// What is wanted of an interface from now on.
    Wish(IfName, Wish),
    /// The interface is cleared.
    Clear(IfName),
    /// The interface's metric is set by a caller; `None`: it follows from the ranking.
    Metric(IfName, Option<Metric>),
    /// All cleared interfaces, the longest cleared first.
    Cleared(Vec<IfName>),
    /// What becomes of this node's wishes when it goes down.
    Policy(String, OwnerPolicy),
}

/// What an administrator sees.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Form {
    Wish(WishForm),
    Clear(String),
    Metric { ifname: String, metric: Option<MetricForm> },
    Cleared(Vec<String>),
    Policy { node: String, policy: PolicyForm },
}

/// Times are in whole seconds, as requests have them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyForm {
    Keep,
    ClearAfter(u32),
    LanAfter(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishForm {
    ifname: String,
    status: String,
    why: Option<String>,
    since_ms: u64,
    set_by: Option<SetByForm>,
    /// Missing if they are as in files from before there were two: see [`OwnersForm::of_last_caller`].
    #[serde(skip_serializing_if = "Option::is_none")]
    owners: Option<OwnersForm>,
    /// `10.0.0.5/24`.
    subnets: Vec<String>,
    gateway: Option<IpAddr>,
    table: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetByForm {
    node: String,
    id: u32,
    serial: u32,
    creation: u32,
}

/// Nodes.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnersForm {
    route: Option<String>,
    status: Option<String>,
}

impl OwnersForm {
    /// Who called last owns all that there is.
    fn of_last_caller(set_by: Option<&SetBy>, has_route: bool) -> Self {
        let node = set_by.map(|who| who.node.clone());
        Self { route: node.clone().filter(|_| has_route), status: node }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MetricForm {
    Rank(u32),
    Word(String),
}

impl From<Record> for Form {
    fn from(record: Record) -> Self {
        match record {
            Record::Wish(name, wish) => Self::Wish(wish_form(name, wish)),
            Record::Clear(name) => Self::Clear(escape(name.as_bytes())),
            Record::Metric(name, metric) => Self::Metric {
                ifname: escape(name.as_bytes()),
                metric: metric
                    .map(|metric| metric.number().map_or_else(|| MetricForm::Word(DISABLED.into()), MetricForm::Rank)),
            },
            Record::Policy(node, policy) => Self::Policy { node, policy: policy.into() },
            Record::Cleared(names) => Self::Cleared(names.iter().map(|name| escape(name.as_bytes())).collect()),
        }
    }
}

fn wish_form(name: IfName, wish: Wish) -> WishForm {
    let has_route = !wish.subnets.is_empty() || wish.gateway.is_some();
    let usual = OwnersForm::of_last_caller(wish.set_by.as_ref(), has_route);
    let owners = OwnersForm { route: wish.route_owner, status: wish.status_owner };
    let set_by = wish.set_by.map(|SetBy { node, id, serial, creation }| SetByForm { node, id, serial, creation });
    WishForm {
        ifname: escape(name.as_bytes()),
        status: wish.status.as_str().to_owned(),
        why: wish.why,
        since_ms: wish.since_ms,
        set_by,
        owners: (owners != usual).then_some(owners),
        subnets: wish.subnets.iter().map(|s| format!("{}/{}", s.ip(), s.prefix_len())).collect(),
        gateway: wish.gateway,
        table: wish.table,
    }
}

impl TryFrom<Form> for Record {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        match form {
            Form::Wish(wish) => Ok(Self::Wish(ifname(&wish.ifname)?, wish.try_into()?)),
            Form::Clear(name) => Ok(Self::Clear(ifname(&name)?)),
            Form::Metric { ifname: name, metric } => {
                Ok(Self::Metric(ifname(&name)?, metric.map(Metric::try_from).transpose()?))
            }
            Form::Policy { node, policy } => Ok(Self::Policy(node, policy.into())),
            Form::Cleared(names) => Ok(Self::Cleared(names.iter().map(|name| ifname(name)).collect::<Result<_, _>>()?)),
        }
    }
}

impl From<OwnerPolicy> for PolicyForm {
    fn from(policy: OwnerPolicy) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        match policy {
            OwnerPolicy::Keep => Self::Keep,
            OwnerPolicy::ClearAfter(time) => Self::ClearAfter(seconds(time)),
            OwnerPolicy::LanAfter(time) => Self::LanAfter(seconds(time)),
        }
    }
}

impl From<PolicyForm> for OwnerPolicy {
    fn from(form: PolicyForm) -> Self {
        match form {
            PolicyForm::Keep => Self::Keep,
            PolicyForm::ClearAfter(seconds) => Self::ClearAfter(Duration::from_secs(seconds.into())),
            PolicyForm::LanAfter(seconds) => Self::LanAfter(Duration::from_secs(seconds.into())),
        }
    }
}

impl TryFrom<WishForm> for Wish {
    type Error = String;

    fn try_from(form: WishForm) -> Result<Self, String> {
        let gateway = form.gateway;
        if let Some(ip) = gateway.filter(|ip| !is_unicast(*ip)) {
            return Err(format!("gateway {ip} is not a unicast address"));
        }
        let set_by = form.set_by.map(|SetByForm { node, id, serial, creation }| SetBy { node, id, serial, creation });
        let has_route = !form.subnets.is_empty() || gateway.is_some();
        let owners = form.owners.unwrap_or_else(|| OwnersForm::of_last_caller(set_by.as_ref(), has_route));
        Ok(Self {
            status: Status::parse(&form.status).ok_or_else(|| format!("{:?} is not a status", form.status))?,
            why: form.why,
            since_ms: form.since_ms,
            set_by,
            route_owner: owners.route,
            status_owner: owners.status,
            subnets: form.subnets.iter().map(|text| subnet(text)).collect::<Result<_, _>>()?,
            gateway,
            table: form.table,
        })
    }
}

impl TryFrom<MetricForm> for Metric {
    type Error = String;

    fn try_from(form: MetricForm) -> Result<Self, String> {
        match form {
            MetricForm::Rank(number) => Self::new(number).ok_or_else(|| "metric 0 is the kernel's".to_owned()),
            MetricForm::Word(word) if word == DISABLED => Ok(Self::Disabled),
            MetricForm::Word(word) => Err(format!("{word:?} is not a metric")),
        }
    }
}

fn ifname(text: &str) -> Result<IfName, String> {
    let bytes = unescape(text).ok_or_else(|| format!("{text:?} is badly escaped"))?;
    IfName::new(&bytes).map_err(|wrong| format!("interface name {text:?} {wrong}"))
}

fn subnet(text: &str) -> Result<Subnet, String> {
    let parts = text.split_once('/').and_then(|(ip, len)| Some((ip.parse().ok()?, len.parse().ok()?)));
    let (ip, len) = parts.ok_or_else(|| format!("{text:?} is not an address with a prefix length"))?;
    Subnet::new(ip, len).map_err(|wrong| wrong.to_string())
}

/// Any bytes as text: what is not a visible ASCII character, and `%` and `/`, as `%` and two hexadecimal digits.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'/') {
            text.push(char::from(*byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, plain) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(plain.as_bytes());
    }
    Some(bytes)
}

/// The word for an interface that gets no routes.
const DISABLED: &str = "disabled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_administrator_sees() {
        let wish = Wish {
            status: Status::Internet,
            why: Some("ping \"ok\"".into()),
            since_ms: 1,
            set_by: Some(SetBy { node: "a@h".into(), id: 1, serial: 2, creation: 3 }),
            route_owner: Some("b@h".into()),
            status_owner: None,
            subnets: vec![Subnet::new("10.0.0.5".parse().unwrap(), 24).unwrap()],
            gateway: Some("fd00::1".parse().unwrap()),
            table: 100,
        };
        let record = Record::Wish(IfName::new(b"\xffth%").unwrap(), wish);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"wish":{"ifname":"%FFth%25","status":"internet","why":"ping \"ok\"","since_ms":1,"#.to_owned()
                + r#""set_by":{"node":"a@h","id":1,"serial":2,"creation":3},"owners":{"route":"b@h","status":null},"#
                + r#""subnets":["10.0.0.5/24"],"#
                + r#""gateway":"fd00::1","table":100}}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        let metric = Record::Metric("eth0".parse().unwrap(), Some(Metric::Disabled));
        let text = r#"{"metric":{"ifname":"eth0","metric":"disabled"}}"#;
        assert_eq!(serde_json::to_string(&metric).unwrap(), text);
        for (policy, form) in [
            (OwnerPolicy::Keep, r#""keep""#),
            (OwnerPolicy::ClearAfter(Duration::from_secs(5)), r#"{"clear_after":5}"#),
            (OwnerPolicy::LanAfter(Duration::from_secs(u64::from(u32::MAX))), r#"{"lan_after":4294967295}"#),
        ] {
            let record = Record::Policy("a@h".into(), policy);
            let text = format!(r#"{{"policy":{{"node":"a@h","policy":{form}}}}}"#);
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn before_there_were_two_owners_it_was_the_last_caller() {
        let last = r#"{"node":"a@h","id":1,"serial":2,"creation":3}"#;
        for (set_by, gateway, route, status) in [
            (last, r#""10.0.0.1""#, Some("a@h"), Some("a@h")),
            (last, "null", None, Some("a@h")),
            ("null", r#""10.0.0.1""#, None, None),
        ] {
            let text = format!(
                r#"{{"wish":{{"ifname":"eth0","status":"lan","why":null,"since_ms":1,"set_by":{set_by},"subnets":[],"gateway":{gateway},"table":100}}}}"#
            );
            let record: Record = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), text, "as they are still written");
            let Record::Wish(_, wish) = record else { panic!("{text}") };
            assert_eq!((wish.route_owner.as_deref(), wish.status_owner.as_deref()), (route, status));
        }
    }

    #[test]
    fn what_no_request_could_have_said_is_refused() {
        let wish = |change: &str, to: &str| {
            let good = r#"{"wish":{"ifname":"eth0","status":"lan","why":null,"since_ms":1,"set_by":null,"subnets":["10.0.0.5/24"],"gateway":"10.0.0.1","table":100}}"#;
            assert!(good.contains(change));
            serde_json::from_str::<Record>(&good.replace(change, to)).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(wish("eth0", "eth1"), Ok(()));
        for (change, to, says) in [
            ("eth0", "a:b", "':'"),
            ("eth0", "", "empty"),
            ("eth0", "a%2", "badly escaped"),
            ("eth0", "a%0g", "badly escaped"),
            ("eth0", "a%00", "NUL"),
            ("lan", "wan", "not a status"),
            ("10.0.0.5/24", "10.0.0.5/33", "33"),
            ("10.0.0.5/24", "10.0.0.5", "prefix length"),
            ("10.0.0.5/24", "224.0.0.1/24", "unicast"),
            ("10.0.0.1", "255.255.255.255", "unicast"),
            ("\"table\"", "\"more\":1,\"table\"", "unknown field"),
            ("100", "-1", "invalid"),
        ] {
            let error = wish(change, to).unwrap_err();
            assert!(error.contains(says), "{to}: {error}");
        }
        for text in [
            r#"{"metric":{"ifname":"eth0","metric":0}}"#,
            r#"{"metric":{"ifname":"eth0","metric":"high"}}"#,
            r#"{"route":{}}"#,
            r#"{"clear":"a b"}"#,
            "17",
        ] {
            assert!(serde_json::from_str::<Record>(text).is_err(), "{text}");
        }
    }
}
