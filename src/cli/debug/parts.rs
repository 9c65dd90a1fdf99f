//! What is in a bundle.

use std::process::Command;

use super::super::ask::{AskError, Asker, Question, block_on};
use super::super::check::check;
use super::super::watch::Event;
use super::super::{NodeArgs, version};
use super::secrets;
use crate::config::{Config, Surroundings};
use crate::netlink;
use crate::route_manager::EVENTS;
use crate::term::{Term, as_list, atom, binary, list, tuple};

/// A file in the bundle.
type Part = (String, Vec<u8>);

/// What `ip` shows, as it is asked.
const DUMPS: [(&str, &[&str]); 6] = [
    ("rules4", &["-4", "rule", "show"]),
    ("rules6", &["-6", "rule", "show"]),
    ("routes4", &["-4", "route", "show", "table", "all"]),
    ("routes6", &["-6", "route", "show", "table", "all"]),
    ("addresses", &["address", "show"]),
    ("links", &["-s", "link", "show"]),
];

/// The last lines of the log of the service.
const LOG: [&str; 6] = ["-u", "beamroute", "-n", "1000", "--no-pager", "--output=short-iso"];

/// Everything, of this node.
pub(super) fn collect(NodeArgs { node, reach }: NodeArgs) -> Vec<Part> {
    let around = Surroundings::of_this_process();
    let mut parts =
        vec![part("version.txt", &format!("beamroute {}\n{}", version::long(), command("uname", &["-srvm"])))];
    parts.push(part("environment.txt", &secrets::environment(&around.variables)));
    let asked = reach.file.config.clone().or_else(|| std::env::var_os("BEAMROUTE_CONFIG").map(Into::into));
    let file = asked.unwrap_or(around.default_file);
    parts.push(part("configuration.json", &secrets::file(&file)));
    match reach.resolve() {
        Ok(config) => {
            parts.push(part("check.txt", &check(&config).table()));
            parts.extend(answers(&config, node));
            parts.extend(dumps(&config));
        }
        Err(error) => parts.push(part("check.txt", &format!("failed  configuration  {error}\n"))),
    }
    parts.push(part("log.txt", &command("journalctl", &LOG)));
    parts
}

fn part(name: &str, text: &str) -> Part {
    (name.to_owned(), text.as_bytes().to_vec())
}

/// What the node says, or why it does not.
fn answers(config: &Config, node: Option<String>) -> Vec<Part> {
    let asked = block_on(async {
        let asker = Asker::connect(config, node).await?;
        let status = asker.ask(Question::Status.request()).await;
        let plan = asker.ask(Question::Plan.request()).await;
        let events = events(&asker).await;
        asker.stop().await;
        Ok((status, plan, events))
    });
    let (status, plan, events) = match asked.and_then(|asked| asked) {
        Ok(answers) => answers,
        Err(error) => return vec![part("status.txt", &format!("{error}\n"))],
    };
    let shown = |question: Question, answer: &Result<Term, AskError>, is_json| match answer {
        Ok(answer) => question.show(answer, is_json),
        Err(error) => format!("{error}\n"),
    };
    vec![
        part("status.txt", &shown(Question::Status, &status, false)),
        part("status.json", &shown(Question::Status, &status, true)),
        part("plan.txt", &shown(Question::Plan, &plan, false)),
        part("events.txt", &events),
    ]
}

/// The last events that the daemon has told anybody, or would have.
async fn events(asker: &Asker) -> String {
    let request = tuple([atom("get"), list([binary(EVENTS)])]);
    let events = match asker.ask(request).await {
        Ok(events) => events,
        Err(error) => return format!("{error}\n"),
    };
    match as_list(&events) {
        Some(events) => events.iter().filter_map(Event::past).map(|event| event.dated_line() + "\n").collect(),
        None => "the node keeps no events; what it has told its log is in log.txt\n".to_owned(),
    }
}

/// In the namespace whose routes are kept.
fn dumps(config: &Config) -> Vec<Part> {
    let netns = config.netns.as_ref().map(|netns| netns.path().to_path_buf());
    let dumped = netlink::within(netns.as_deref(), || {
        let dump = |(name, args): &(&str, &[&str])| {
            part(&format!("ip/{name}.json"), &command("ip", &[&["-j"][..], args].concat()))
        };
        Ok(DUMPS.iter().map(dump).collect())
    });
    dumped.unwrap_or_else(|error| vec![part("ip/error.txt", &format!("{error}\n"))])
}

/// What a program prints, its errors included.
fn command(program: &str, args: &[&str]) -> String {
    // Where an ordinary user's PATH does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(args).env("PATH", path).output() {
        Ok(out) => String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
        Err(error) => format!("{program}: {error}\n"),
    }
}
