//! News as a line for people, or as a JSON object for programs.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::super::ask::to_json;
use super::super::date::date_of;
use super::follow::News;
use crate::term::{Show, Term, as_atom, as_integer, as_list, as_text, as_tuple, atom};

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Event {
    at: SystemTime,
    /// `event`, and what belongs to it.
    fields: Map<String, Value>,
    words: String,
}

impl Event {
    /// What `news` of `node` tells; `None` for what is no event.
    pub(in crate::cli) fn of(node: &str, news: News) -> Option<Self> {
        let (kind, mut fields, words) = match news {
            News::Status(_) => return None,
            News::Connected => {
                ("connected", Map::new(), format!("{node} is there; this is how things stand, and then what changes:"))
            }
            News::Gone(why) => {
                let words = format!("{node} is gone ({why}); its routes stay in the kernel; connecting again");
                ("gone", fields([("why", Value::from(why))]), words)
            }
            News::Event(term) => {
                let event = as_tuple::<3>(&term).map(|[_, _, event]| event);
                told(event.map(elements).unwrap_or_default(), &term)
            }
        };
        fields.insert("node".into(), node.into());
        Some(Self::at(SystemTime::now(), kind, fields, words))
    }

    /// An event of the property `events`: `{UnixMs, {Kind, ...}}`.
    pub(in crate::cli) fn past(event: &Term) -> Option<Self> {
        let [ms, event] = as_tuple::<2>(event)?;
        let ms = as_integer(ms).and_then(|ms| u64::try_from(ms).ok())?;
        // As subscribers get it, but for the number.
        let numbered: Vec<Term> = std::iter::once(atom("nil")).chain(elements(event).iter().cloned()).collect();
        let (kind, fields, words) = told(&numbered, event);
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))?;
        Some(Self::at(at, kind, fields, words))
    }

    fn at(at: SystemTime, kind: &'static str, mut fields: Map<String, Value>, words: String) -> Self {
        fields.insert("event".into(), kind.into());
        let ms = u64::try_from(since_epoch(at).as_millis()).unwrap_or(u64::MAX);
        fields.insert("time_ms".into(), ms.into());
        Self { at, fields, words }
    }

    pub(in crate::cli) fn json(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }

    /// With the time of day in UTC, as the log has it.
    pub(in crate::cli) fn line(&self) -> String {
        let seconds = since_epoch(self.at).as_secs() % 86_400;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        format!("{hours:02}:{minutes:02}:{:02}Z  {}", seconds % 60, self.words)
    }

    /// With the date as well.
    pub(in crate::cli) fn dated_line(&self) -> String {
        format!("{}T{}", date_of(since_epoch(self.at).as_secs()), self.line())
    }
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// `{Seq, Kind, ...}`, and the whole message that it is in.
fn told(event: &[Term], message: &Term) -> (&'static str, Map<String, Value>, String) {
    let (kind, mut all, words) = match event {
        [_, kind, name, install] if as_atom(kind) == Some("install") => installed(name, install),
        [_, kind, name] if as_atom(kind) == Some("healed") => {
            let name = text(name);
            ("healed", fields([("interface", name.clone().into())]), format!("{name}: healed"))
        }
        [_, kind, path, old, new] if as_atom(kind) == Some("property") => property(path, old, new),
        [_, kind, what] if as_atom(kind) == Some("foreign") => {
            ("foreign", fields([("what", to_json(what))]), format!("other programs: {}", Show(what)))
        }
        _ => {
            let shown = Show(message).to_string();
            ("other", fields([("term", shown.clone().into())]), shown)
        }
    };
    if let Some(seq) = event.first().and_then(as_integer) {
        all.insert("seq".into(), seq.into());
    }
    (kind, all, words)
}

fn installed(name: &Term, install: &Term) -> (&'static str, Map<String, Value>, String) {
    let name = text(name);
    let words = match as_tuple::<2>(install) {
        Some([_, reason]) => format!("{name}: pending: {}", Show(reason)),
        None if as_atom(install) == Some("nil") => format!("{name}: forgotten"),
        None => format!("{name}: {}", Show(install)),
    };
    ("install", fields([("interface", name.into()), ("install", to_json(install))]), words)
}

fn property(path: &Term, old: &Term, new: &Term) -> (&'static str, Map<String, Value>, String) {
    let path: Vec<String> = as_list(path).unwrap_or_default().iter().map(text).collect();
    let words = match as_atom(old) {
        Some("nil") => format!("{}: {}", path.join(" "), shown(new)),
        _ => format!("{}: {} -> {}", path.join(" "), shown(old), shown(new)),
    };
    ("property", fields([("path", path.into()), ("old", to_json(old)), ("new", to_json(new))]), words)
}

fn shown(value: &Term) -> String {
    match as_list(value) {
        Some([]) => "none".to_owned(),
        Some(names) => names.iter().map(text).collect::<Vec<_>>().join(", "),
        None => text(value),
    }
}

fn text(term: &Term) -> String {
    match (as_atom(term), as_text(term)) {
        (Some("nil"), _) => "-".to_owned(),
        (Some(name), _) => name.escape_debug().to_string(),
        (None, Some(bytes)) => String::from_utf8_lossy(&bytes).escape_debug().to_string(),
        (None, None) => Show(term).to_string(),
    }
}

fn elements(tuple: &Term) -> &[Term] {
    match tuple {
        Term::Tuple(tuple) => &tuple.elements,
        _ => &[],
    }
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::syntax::parse;

    fn event(text: &str) -> (Value, String) {
        let news = News::Event(parse(&format!("{{route_manager,'gw@h',{text}}}")).unwrap());
        let event = Event::of("gw@h", news).unwrap();
        let mut json: Value = serde_json::from_str(&event.json()).unwrap();
        let fields = json.as_object_mut().unwrap();
        assert!(fields.remove("time_ms").and_then(|ms| ms.as_u64()).is_some_and(|ms| ms > 0));
        assert_eq!(fields.remove("node"), Some(json!("gw@h")));
        let line = event.line();
        assert_eq!(line.find("Z  "), Some(8), "{line}");
        (json, line[11..].to_owned())
    }

    #[test]
    fn each_kind_has_its_words_and_its_keys() {
        for (text, words, json) in [
            (
                r#"{1,install,<<"eth0">>,{pending,link_down}}"#,
                "eth0: pending: link_down",
                json!({"event": "install", "seq": 1, "interface": "eth0", "install": ["pending", "link_down"]}),
            ),
            (r#"{2,healed,<<"eth0">>}"#, "eth0: healed", json!({"event": "healed", "seq": 2, "interface": "eth0"})),
            (
                r#"{3,property,[<<"interface">>,<<"eth0">>,<<"connection">>],lan,internet}"#,
                "interface eth0 connection: lan -> internet",
                json!({"event": "property", "seq": 3, "path": ["interface", "eth0", "connection"], "old": "lan",
                       "new": "internet"}),
            ),
            (
                r#"{4,property,[<<"available_interfaces">>],[],[<<"eth0">>,<<"wlan0">>]}"#,
                "available_interfaces: none -> eth0, wlan0",
                json!({"event": "property", "seq": 4, "path": ["available_interfaces"], "old": [],
                       "new": ["eth0", "wlan0"]}),
            ),
            (
                "{5,foreign,{contested,nil}}",
                "other programs: {contested,nil}",
                json!({"event": "foreign", "seq": 5, "what": ["contested", null]}),
            ),
        ] {
            assert_eq!(event(text), (json, words.to_owned()), "{text}");
        }
        assert_eq!(event(r#"{6,install,<<"eth0">>,nil}"#).1, "eth0: forgotten");
        assert_eq!(event("{7,new_kind}").0["event"], "other");
    }

    #[test]
    fn of_the_past_with_their_dates() {
        for (ms, expected) in [(0_u64, "1970-01-01T00:00:00Z"), (951_782_400_000, "2000-02-29T00:00:00Z")] {
            let event = parse(&format!("{{{ms},{{install,<<\"eth0\">>,installed}}}}")).unwrap();
            let event = Event::past(&event).unwrap();
            assert_eq!(event.dated_line(), format!("{expected}  eth0: installed"));
            let json: Value = serde_json::from_str(&event.json()).unwrap();
            assert_eq!(json, json!({"event": "install", "interface": "eth0", "install": "installed", "time_ms": ms}));
        }
        for wrong in ["nil", "{x,{healed,<<\"eth0\">>}}", "{-1,{healed,<<\"eth0\">>}}"] {
            assert_eq!(Event::past(&parse(wrong).unwrap()), None, "{wrong}");
        }
    }

    #[test]
    fn comes_and_goes() {
        let gone = Event::of("gw@h", News::Gone("it was stopped".into())).unwrap();
        assert!(
            gone.line().ends_with("gw@h is gone (it was stopped); its routes stay in the kernel; connecting again")
        );
        let connected: Value = serde_json::from_str(&Event::of("gw@h", News::Connected).unwrap().json()).unwrap();
        assert_eq!(connected["event"], "connected");
    }
}
