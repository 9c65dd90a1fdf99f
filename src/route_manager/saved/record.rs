//! One change of the desired state, and its form in JSON. Nothing read is believed before the constructors that check
//! requests have checked it too.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::super::owners::OwnerPolicy;
use crate::route::{IfName, Metric, SetBy, Status, Subnet, Wish, is_unicast};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Form")]
pub(super) enum Record {
    /// What is wanted of an interface from now on.
    Wish(IfName, Wish),
    /// The same, if only what a status call changes is new: most changes are such.
    Status(IfName, Reported),
    /// The interface is cleared.
    Clear(IfName),
    /// The interface's metric is set by a caller; `None`: it follows from the ranking.
    Metric(IfName, Option<Metric>),
    /// All cleared interfaces, the longest cleared first.
    Cleared(Vec<IfName>),
    /// What becomes of this node's wishes when it goes down.
    Policy(String, OwnerPolicy),
}

/// What a status call changes of a [`Wish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    status: Status,
    why: Option<String>,
    since_ms: u64,
    set_by: Option<SetBy>,
    owner: Option<String>,
}

impl Reported {
    /// What makes `before` to `after`, if it is no more than this.
    pub(super) fn between(before: &Wish, after: &Wish) -> Option<Self> {
        let Wish { status, why, since_ms, set_by, status_owner, route_owner, subnets, gateway, table } = after;
        let is_all = (gateway, table) == (&before.gateway, &before.table)
            && (subnets, route_owner) == (&before.subnets, &before.route_owner);
        is_all.then(|| Self {
            status: *status,
            why: why.clone(),
            since_ms: *since_ms,
            set_by: set_by.clone(),
            owner: status_owner.clone(),
        })
    }

    /// Changes a wish.
    pub(super) fn put_into(self, wish: &mut Wish) {
        let Self { status, why, since_ms, set_by, owner } = self;
        (wish.status, wish.why, wish.since_ms) = (status, why, since_ms);
        (wish.set_by, wish.status_owner) = (set_by, owner);
    }
}

/// What an administrator sees, as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Form {
    Wish(WishForm),
    Status(StatusForm),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WishForm {
    ifname: String,
    status: String,
    why: Option<String>,
    since_ms: u64,
    set_by: Option<SetByForm>,
    /// Missing if they are as in files from before there were two: see [`usual_owners`].
    owners: Option<OwnersForm>,
    /// `10.0.0.5/24`.
    subnets: Vec<String>,
    gateway: Option<IpAddr>,
    table: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusForm {
    ifname: String,
    status: String,
    why: Option<String>,
    since_ms: u64,
    set_by: Option<SetByForm>,
    /// The status's; a node.
    owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetByForm {
    node: String,
    id: u32,
    serial: u32,
    creation: u32,
}

/// Nodes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnersForm {
    route: Option<String>,
    status: Option<String>,
}

/// The route's and the status's owner if none are given: who called last owns all that there is.
fn usual_owners(set_by: Option<&SetBy>, has_route: bool) -> [Option<&str>; 2] {
    let node = set_by.map(|who| who.node.as_str());
    [node.filter(|_| has_route), node]
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MetricForm {
    Rank(u32),
    Word(String),
}

/// [`Form`], as it is written: each change costs this once, so nothing is copied for it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Wish(WrittenWish<'a>),
    Status(WrittenStatus<'a>),
    Clear(Escaped<'a>),
    Metric { ifname: Escaped<'a>, metric: Option<WrittenMetric> },
    Cleared(Vec<Escaped<'a>>),
    Policy { node: &'a str, policy: PolicyForm },
}

#[derive(Serialize)]
struct WrittenWish<'a> {
    ifname: Escaped<'a>,
    status: &'static str,
    why: Option<&'a str>,
    since_ms: u64,
    set_by: Option<WrittenSetBy<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owners: Option<WrittenOwners<'a>>,
    subnets: WrittenSubnets<'a>,
    gateway: Option<IpAddr>,
    table: u32,
}

#[derive(Serialize)]
struct WrittenStatus<'a> {
    ifname: Escaped<'a>,
    status: &'static str,
    why: Option<&'a str>,
    since_ms: u64,
    set_by: Option<WrittenSetBy<'a>>,
    owner: Option<&'a str>,
}

#[derive(Serialize)]
struct WrittenSetBy<'a> {
    node: &'a str,
    id: u32,
    serial: u32,
    creation: u32,
}

#[derive(Serialize)]
struct WrittenOwners<'a> {
    route: Option<&'a str>,
    status: Option<&'a str>,
}

struct WrittenSubnets<'a>(&'a [Subnet]);
struct WrittenSubnet<'a>(&'a Subnet);

impl Serialize for WrittenSubnets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(WrittenSubnet))
    }
}

impl Serialize for WrittenSubnet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.0.ip(), self.0.prefix_len()))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenMetric {
    Rank(u32),
    Word(&'static str),
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let escaped = |name| Escaped(IfName::as_bytes(name));
        let rank = |metric: Metric| metric.number().map_or(WrittenMetric::Word(DISABLED), WrittenMetric::Rank);
        let written = match self {
            Self::Wish(name, wish) => Written::Wish(WrittenWish::new(name, wish)),
            Self::Status(name, reported) => Written::Status(WrittenStatus::new(name, reported)),
            Self::Clear(name) => Written::Clear(escaped(name)),
            Self::Metric(name, metric) => Written::Metric { ifname: escaped(name), metric: metric.map(rank) },
            Self::Policy(node, policy) => Written::Policy { node, policy: (*policy).into() },
            Self::Cleared(names) => Written::Cleared(names.iter().map(escaped).collect()),
        };
        written.serialize(serializer)
    }
}

impl<'a> WrittenWish<'a> {
    fn new(name: &'a IfName, wish: &'a Wish) -> Self {
        let has_route = !wish.subnets.is_empty() || wish.gateway.is_some();
        let owners @ [route, status] = [wish.route_owner.as_deref(), wish.status_owner.as_deref()];
        let are_usual = owners == usual_owners(wish.set_by.as_ref(), has_route);
        Self {
            ifname: Escaped(name.as_bytes()),
            status: wish.status.as_str(),
            why: wish.why.as_deref(),
            since_ms: wish.since_ms,
            set_by: wish.set_by.as_ref().map(WrittenSetBy::from),
            owners: (!are_usual).then_some(WrittenOwners { route, status }),
            subnets: WrittenSubnets(&wish.subnets),
            gateway: wish.gateway,
            table: wish.table,
        }
    }
}

impl<'a> WrittenStatus<'a> {
    fn new(name: &'a IfName, reported: &'a Reported) -> Self {
        let Reported { status, why, since_ms, set_by, owner } = reported;
        Self {
            ifname: Escaped(name.as_bytes()),
            status: status.as_str(),
            why: why.as_deref(),
            since_ms: *since_ms,
            set_by: set_by.as_ref().map(WrittenSetBy::from),
            owner: owner.as_deref(),
        }
    }
}

impl<'a> From<&'a SetBy> for WrittenSetBy<'a> {
    fn from(SetBy { node, id, serial, creation }: &'a SetBy) -> Self {
        Self { node, id: *id, serial: *serial, creation: *creation }
    }
}

impl From<SetByForm> for SetBy {
    fn from(SetByForm { node, id, serial, creation }: SetByForm) -> Self {
        Self { node, id, serial, creation }
    }
}

impl TryFrom<Form> for Record {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        match form {
            Form::Wish(wish) => Ok(Self::Wish(ifname(&wish.ifname)?, wish.try_into()?)),
            Form::Status(reported) => Ok(Self::Status(ifname(&reported.ifname)?, reported.try_into()?)),
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
        let set_by = form.set_by.map(SetBy::from);
        let has_route = !form.subnets.is_empty() || gateway.is_some();
        let [route_owner, status_owner] = match form.owners {
            Some(OwnersForm { route, status }) => [route, status],
            None => usual_owners(set_by.as_ref(), has_route).map(|owner| owner.map(str::to_owned)),
        };
        Ok(Self {
            status: status(&form.status)?,
            why: form.why,
            since_ms: form.since_ms,
            set_by,
            route_owner,
            status_owner,
            subnets: form.subnets.iter().map(|text| subnet(text)).collect::<Result<_, _>>()?,
            gateway,
            table: form.table,
        })
    }
}

impl TryFrom<StatusForm> for Reported {
    type Error = String;

    fn try_from(form: StatusForm) -> Result<Self, String> {
        let StatusForm { ifname: _, status: text, why, since_ms, set_by, owner } = form;
        Ok(Self { status: status(&text)?, why, since_ms, set_by: set_by.map(SetBy::from), owner })
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

fn status(text: &str) -> Result<Status, String> {
    Status::parse(text).ok_or_else(|| format!("{text:?} is not a status"))
}

fn subnet(text: &str) -> Result<Subnet, String> {
    let parts = text.split_once('/').and_then(|(ip, len)| Some((ip.parse().ok()?, len.parse().ok()?)));
    let (ip, len) = parts.ok_or_else(|| format!("{text:?} is not an address with a prefix length"))?;
    Subnet::new(ip, len).map_err(|wrong| wrong.to_string())
}

/// Any bytes as text: what is not a visible ASCII character, and `%` and `/`, as `%` and two hexadecimal digits.
pub(super) struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'/');
        // Mostly all of it.
        for run in self.0.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
            match run {
                [byte] if !is_plain(byte) => write!(f, "%{byte:02X}")?,
                plain => f.write_str(std::str::from_utf8(plain).map_err(|_| fmt::Error)?)?,
            }
        }
        Ok(())
    }
}

impl Serialize for Escaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
    fn a_status_says_whose_it_is() {
        let caller = SetBy { node: "a@h".into(), id: 1, serial: 2, creation: 3 };
        let said = r#"{"node":"a@h","id":1,"serial":2,"creation":3}"#;
        for (set_by, owner, text) in [
            (Some(&caller), Some("a@h"), format!(r#""why":null,"since_ms":1,"set_by":{said},"owner":"a@h""#)),
            (Some(&caller), Some("b@h"), format!(r#""why":"x","since_ms":1,"set_by":{said},"owner":"b@h""#)),
            (Some(&caller), None, format!(r#""why":null,"since_ms":1,"set_by":{said},"owner":null"#)),
            (None, None, r#""why":null,"since_ms":1,"set_by":null,"owner":null"#.to_owned()),
        ] {
            let reported = Reported {
                status: Status::Lan,
                why: text.contains('x').then(|| "x".to_owned()),
                since_ms: 1,
                set_by: set_by.cloned(),
                owner: owner.map(str::to_owned),
            };
            let text = format!(r#"{{"status":{{"ifname":"eth0","status":"lan",{text}}}}}"#);
            let record = Record::Status("eth0".parse().unwrap(), reported);
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
            r#"{"status":{"ifname":"eth0","status":"wan","why":null,"since_ms":1,"set_by":null}}"#,
            r#"{"status":{"ifname":"eth0","status":"lan","why":null,"since_ms":1,"set_by":null,"table":100}}"#,
            "17",
        ] {
            assert!(serde_json::from_str::<Record>(text).is_err(), "{text}");
        }
    }
}
