//! A client for the page of metrics, and a strict reader of its format.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends `head` as it is and reads to the end.
pub fn exchange(port: u16, head: &str) -> Reply {
    let mut stream = connect(port);
    stream.write_all(head.as_bytes()).unwrap();
    read(&mut stream)
}

pub fn read(stream: &mut TcpStream) -> Reply {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: body.to_owned() }
}

/// The page's numbers, by name with labels, as written. Anything that Prometheus would not take fails.
#[derive(Debug, PartialEq)]
pub struct Page(pub BTreeMap<String, f64>);

impl Page {
    pub fn get(port: u16) -> Self {
        let reply = exchange(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(reply.status, "200 OK");
        assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert_eq!(reply.headers["content-length"], reply.body.len().to_string());
        Self::parse(&reply.body)
    }

    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let mut numbers = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut family: Option<(String, String)> = None;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && is_name(name), "{line}");
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).unwrap();
                let (of, kind) = kind.split_once(' ').unwrap();
                assert_eq!(of, name, "TYPE follows HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(seen.insert(name.to_owned()), "{name} twice");
                assert!(name.starts_with("beamroute_") || name.starts_with("process_"), "{name}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                family = Some((name.to_owned(), kind.to_owned()));
                assert!(lines.peek().is_some_and(|line| !line.starts_with('#')), "{name} has no number");
                continue;
            }
            let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let name = key.split('{').next().unwrap();
            let (of, kind) = family.as_ref().unwrap();
            let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(parts.iter().any(|part| *name == format!("{of}{part}")), "{line} is not of {of}");
            if let Some(labels) = key.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let labels = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap();
                for label in labels.split(',') {
                    let (name, value) = label.split_once("=\"").unwrap();
                    assert!(is_name(name) && value.ends_with('"') && !value.contains('\\'), "{line}");
                }
            }
            let number: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(numbers.insert(key.to_owned(), number).is_none(), "{key} twice");
        }
        let page = Self(numbers);
        page.check_buckets();
        page
    }

    /// Each bucket has those of the one before.
    fn check_buckets(&self) {
        let name = "beamroute_call_duration_seconds";
        let bucket = |key: &str| {
            let bound = key.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?.strip_suffix("\"}")?.to_owned();
            Some(if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() })
        };
        let mut buckets: Vec<(f64, f64)> = self.0.iter().filter_map(|(key, n)| Some((bucket(key)?, *n))).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, self.of(&format!("{name}_count")))));
    }

    #[track_caller]
    pub fn of(&self, key: &str) -> f64 {
        *self.0.get(key).unwrap_or_else(|| panic!("no {key}: {self:#?}"))
    }

    pub fn calls(&self, request: &str, outcome: &str) -> f64 {
        let key = format!("beamroute_calls_total{{request=\"{request}\",outcome=\"{outcome}\"}}");
        self.0.get(&key).copied().unwrap_or(0.0)
    }

    /// The names of metrics on it.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().map(|key| key.split('{').next().unwrap().to_owned()).collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
