//! A raw peer that says control messages as Erlang text and compares what it hears with patterns.

use std::time::{Duration, Instant};

use super::Daemon;
use super::etf::{Etf, Reader, Scope};
use super::raw::{FLAGS, Raw, frame};

/// A connected raw peer. In text, `Me` and `Other` are processes of its own, `R1` to `R4` references of its own, `Node`
/// is its name, `N` the daemon's; `Rm`, `Net` and `Rex` are processes of the daemon. What a pattern binds stays bound.
pub struct Talk {
    pub raw: Raw,
    pub scope: Scope,
}

/// How long a frame may take.
const SOON: Duration = super::PATIENCE;

/// What a peer says, and the frames that it must hear: a row of a table.
pub type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

impl Talk {
    pub fn start(daemon: &Daemon) -> Self {
        Self::with(daemon, FLAGS)
    }

    /// With these flags. Pids of the daemon are learned by a peer that can spawn.
    pub fn with(daemon: &Daemon, flags: u64) -> Self {
        let mut talk = Self::under(daemon, "learner@127.0.0.1", FLAGS);
        for (var, name) in [("Rm", "route_manager"), ("Net", "net_kernel"), ("Rex", "rex")] {
            talk.say(&format!(
                "{{29, R1, Me, Me, {{erpc, execute_call, 4}}, [monitor]}} [r, erlang, whereis, [{name}]]"
            ));
            talk.hears("{31, R1, Me, 2, _}");
            talk.hears(&format!("{{28, _, Me, R1}} {{r, return, {var}}}"));
        }
        let pids: Vec<_> = ["Rm", "Net", "Rex"].map(|name| (name.to_owned(), talk.scope[name].clone())).into();
        let mut talk = Self::under(daemon, &format!("talk{}@127.0.0.1", super::serial()), flags);
        talk.scope.extend(pids);
        talk
    }

    /// Under a name, and with nothing known of the daemon.
    pub fn under(daemon: &Daemon, name: &str, flags: u64) -> Self {
        let raw = Raw::connect_with(daemon, name, flags);
        let mut scope = Scope::new();
        for (var, id) in [("Me", 1), ("Other", 2)] {
            scope.insert(var.to_owned(), Etf::Bytes(raw.pid(id)));
        }
        for n in 1..=4 {
            scope.insert(format!("R{n}"), Etf::Bytes(raw.reference(&[n, 0, 0])));
        }
        scope.insert("Node".to_owned(), Etf::Atom(name.to_owned()));
        scope.insert("N".to_owned(), Etf::Atom(daemon.node.clone()));
        Self { raw, scope }
    }

    /// Lets a name stand for bytes.
    pub fn bind(&mut self, name: &str, bytes: &[u8]) {
        self.scope.insert(name.to_owned(), Etf::Bytes(bytes.to_vec()));
    }

    /// The frame of a control message, and its payload if there is one.
    #[track_caller]
    pub fn frame(&self, text: &str) -> Vec<u8> {
        encode(text, &self.scope)
    }

    #[track_caller]
    pub fn say(&mut self, text: &str) {
        let frame = self.frame(text);
        self.raw.send(&frame);
    }

    /// The next frame that is no tick, in terms.
    #[track_caller]
    pub fn next(&mut self) -> Vec<Etf> {
        let end = Instant::now() + SOON;
        loop {
            self.raw.set_patience(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
            let body = self.raw.receive_frame().unwrap_or_else(|e| panic!("no frame: {e}"));
            if body.is_empty() {
                assert!(Instant::now() < end, "nothing but ticks");
                continue;
            }
            assert_eq!(body[0], 112);
            let mut reader = Reader(&body[1..]);
            let mut terms = Vec::new();
            while let Some((131, rest)) = reader.0.split_first() {
                reader.0 = rest;
                terms.push(reader.term());
            }
            assert!(reader.0.is_empty(), "surplus bytes: {body:?}");
            return terms;
        }
    }

    #[track_caller]
    pub fn hears(&mut self, pattern: &str) {
        let heard = self.next();
        self.check(&heard, pattern, "");
    }

    /// Says the rows one after the other; what each must hear is all that it hears.
    #[track_caller]
    pub fn expect(&mut self, rows: &[Row<'_>]) {
        for (what, says, hears) in rows {
            for text in *says {
                self.say(text);
            }
            for pattern in *hears {
                let heard = self.next();
                self.check(&heard, pattern, what);
            }
            self.is_served(what);
        }
    }

    /// A call of `route_manager` is answered next: the connection is up, and nothing else was to be heard.
    #[track_caller]
    pub fn is_served(&mut self, what: &str) {
        let fence = super::serial();
        let tag = self.raw.reference(&[9, fence, 9]);
        self.bind("Fence", &tag);
        self.say("{6, Me, '', route_manager} {'$gen_call', {Me, Fence}, {get, [<<\"nothing\">>]}}");
        let heard = self.next();
        let mut scope = self.scope.clone();
        let [control, reply] = Etf::parse("_ {Fence, nil}").try_into().unwrap();
        let is_reply = matches!(&heard[..], [c, r] if c.matches(&control, &mut scope) && r.matches(&reply, &mut scope));
        assert!(is_reply, "{what}: more is heard: {}", shown(&heard));
    }

    #[track_caller]
    fn check(&mut self, heard: &[Etf], pattern: &str, what: &str) {
        let patterns = Etf::parse(pattern);
        let is_right = heard.len() == patterns.len()
            && heard.iter().zip(&patterns).all(|(term, pattern)| term.matches(pattern, &mut self.scope));
        assert!(is_right, "{what}: heard {} instead of {pattern}", shown(heard));
    }
}

/// The frame of a control message and its payload, with names that stand for bytes.
#[track_caller]
pub fn spoken(text: &str, names: &[(&str, &[u8])]) -> Vec<u8> {
    let scope = names.iter().map(|(name, bytes)| ((*name).to_owned(), Etf::Bytes(bytes.to_vec()))).collect();
    encode(text, &scope)
}

#[track_caller]
fn encode(text: &str, scope: &Scope) -> Vec<u8> {
    let mut body = vec![112];
    for term in Etf::parse(text) {
        body.push(131);
        term.encode(scope, &mut body);
    }
    frame(&body)
}

fn shown(terms: &[Etf]) -> String {
    terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
