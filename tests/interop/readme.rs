//! What the README shows is run as it stands there: each block by a test that claims it, and here those that no other test has.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::beam::home_with;
use crate::support::epmd::Place;
use crate::support::readme::{Block, all_blocks, at_elixir, blocks, fits, steps, type_at_iex};
use crate::support::{Daemon, Link, Netns, Process, eventually, have, output, repository};

/// Blocks, and the tests that run them: where these are, and what is written there.
struct Claim {
    /// The heading of their section; empty on the first screen.
    section: &'static str,
    /// How the first line begins. Empty for those who run all blocks of a section, whichever there are.
    first: &'static str,
    by: &'static [(&'static str, &'static str)],
}

const fn claim(section: &'static str, first: &'static str, by: &'static [(&'static str, &'static str)]) -> Claim {
    Claim { section, first, by }
}

const HERE: &str = "tests/interop/readme.rs";

const CLAIMS: [Claim; 14] = [
    claim("", "iex(me@127.0.0.1)1> ", &[(HERE, "fn the_first_screen_is_right()")]),
    claim("", "$ ip rule; ip route", &[(HERE, "fn the_first_screen_is_right()")]),
    claim(
        "Two commands",
        "scripts/demo ",
        &[
            ("tests/demo.rs", "fn the_script_builds_it_and_plays()"),
            // It is what runs this.
            ("scripts/test", "cargo test --locked --workspace"),
        ],
    ),
    claim("Install", "", &[("tests/service/walk.rs", "fn from_the_package_to_its_removal()")]),
    claim("From Elixir", "", &[("erlang/test/shown_test.exs", "test \"README, From Elixir\"")]),
    claim("From Erlang", "", &[("erlang/test/beamroute_readme_tests.erl", "from_erlang_test_()")]),
    claim(
        "Running it",
        "cargo install --path .",
        &[
            ("scripts/test", "cargo install --locked --debug --quiet --path ."),
            (HERE, "fn it_runs_as_it_stands_there()"),
        ],
    ),
    claim("Running it", "[[permission]]", &[("tests/config/file.rs", "fn the_readmes_permissions_and_cookies()")]),
    claim("Running it", "[[cookie]]", &[("tests/config/file.rs", "fn the_readmes_permissions_and_cookies()")]),
    claim("Running it", "[limits]", &[("tests/config/file.rs", "fn limits_and_their_refusals()")]),
    claim(BESIDE, "echo 'unset new_routers' ", &[(HERE, "fn the_hook_takes_the_gateway_from_dhclient()")]),
    claim("Choosing the way out", "", &[("tests/interop/steering.rs", "fn the_readme_is_right()")]),
    claim(
        "TLS",
        "",
        &[("tests/interop/tls/readme.rs", "fn the_readme_s_commands_make_nodes_that_meet_in_both_directions()")],
    ),
    claim("systemd", "", &[("tests/service/systemd.rs", "fn the_readmes_lines_install_the_unit()")]),
];

const BESIDE: &str = "Beside NetworkManager, dhclient and systemd-networkd";

/// What is no command: pictures, and Rust, of which the compiler has the examples.
const OTHERS: [&str; 2] = ["text", "rust"];

/// The block of that section that begins so.
fn block(section: &str, first: &str) -> Block {
    let found = blocks(section).into_iter().find(|(_, lines)| lines[0].starts_with(first));
    found.unwrap_or_else(|| panic!("{section}: no block {first}"))
}

#[test]
fn every_block_is_run_by_a_test() {
    let blocks: Vec<_> = all_blocks().into_iter().filter(|(_, (language, _))| !OTHERS.contains(&&**language)).collect();
    assert!(blocks.len() > 30, "{blocks:#?}");
    let is_of =
        |claim: &Claim, heading: &str, lines: &[String]| claim.section == heading && lines[0].starts_with(claim.first);
    for (heading, (language, lines)) in &blocks {
        let claims = CLAIMS.iter().filter(|claim| is_of(claim, heading, lines)).count();
        assert_eq!(claims, 1, "{heading:?}: so many tests claim this block of {language}: {lines:#?}");
    }
    for claim in &CLAIMS {
        let Claim { section, first, by } = claim;
        let is_used = blocks.iter().any(|(heading, (_, lines))| is_of(claim, heading, lines));
        assert!(is_used, "{section}: no block {first}");
        for (file, test) in *by {
            let text = fs::read_to_string(repository(file)).unwrap();
            let text = if file.ends_with(".rs") { text.split("#[test]\n").skip(1).collect() } else { text };
            assert!(text.contains(test), "{file}: no {test}");
        }
    }
}

#[test]
fn the_first_screen_is_right() {
    let links = [Link::new("eth0", &["192.168.1.50/24"]), Link::new("wlan0", &["10.0.0.50/24"])];
    let Some(net) = Netns::new(&links) else { return };
    if !have("iex") {
        return;
    }
    net.ip(&["link", "set", "lo", "up"]);
    let place = Place::free();
    let options = Daemon::options(&place).inside(net.command("env")).naming("--name", "gw@127.0.0.1").epmd("auto");
    let daemon = options.start();
    let home = home_with(&daemon.cookie);
    let first = blocks("");
    let [(elixir, calls), (console, shown)] = &first[..] else { panic!("two blocks: {first:#?}") };
    assert_eq!([elixir.as_str(), console], ["elixir", "console"]);
    let mut iex = net.command("iex");
    iex.args(["--name", "me@127.0.0.1", "--erl", "-start_epmd false", "--dot-iex", "/dev/null"]);
    place.tell(&mut iex).env("HOME", home.path()).env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    let calls = steps(calls, at_elixir);
    assert!(calls.len() >= 8 && calls.iter().all(|(_, said)| !said.is_empty()), "{calls:#?}");
    type_at_iex(iex, &calls);
    for (typed, said) in steps(shown, |line| line.strip_prefix("$ ")) {
        let text = output(net.command("bash").args(["-c", typed]));
        assert!(fits(&text.lines().collect::<Vec<_>>(), &said), "{typed}\n{text}\nbut the README says\n{said:#?}");
    }
}

#[test]
fn it_runs_as_it_stands_there() {
    let Some(net) = Netns::new(&[Link::new("eth0", &["192.0.2.7/24"])]) else { return };
    net.ip(&["link", "set", "lo", "up"]);
    let (_, lines) = block("Running it", "cargo install --path .");
    let [_, line] = &lines[..] else { panic!("to install and to run: {lines:#?}") };
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_beamroute"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let (home, place) = (home_with("secret"), Place::free());
    let typed = |line: &str| -> Command {
        let mut shell = net.command("bash");
        place.tell(shell.args(["-c", &format!("exec {line}")])).env("PATH", &path).env("HOME", home.path());
        // What it saves is not for this machine.
        shell.env("BEAMROUTE_STATE_DIR", home.path().join("state")).stdin(Stdio::null()).stdout(Stdio::piped());
        shell.stderr(Stdio::null());
        shell
    };
    let _daemon = Process::spawn(&mut typed(line));
    let ping = || typed("beamroute ping gw@192.0.2.7").output().unwrap();
    eventually("the node answers", || String::from_utf8_lossy(&ping().stdout).starts_with("pong from gw@192.0.2.7"));
}

/// As `dhclient-script` reads it, when a lease has a gateway.
#[test]
fn the_hook_takes_the_gateway_from_dhclient() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = dir.path().join("etc/dhcp/dhclient-enter-hooks.d");
    fs::create_dir_all(&hooks).unwrap();
    let (_, lines) = block(BESIDE, "echo 'unset new_routers' ");
    let here = lines.join("\n").replace("/etc/dhcp", dir.path().join("etc/dhcp").to_str().unwrap());
    output(Command::new("sh").args(["-ec", &here]));
    let script = format!("for hook in {}/*; do . $hook; done; echo \"$new_routers,$new_ip_address\"", hooks.display());
    let mut reads = Command::new("sh");
    reads.args(["-ec", &script]).env("new_routers", "192.0.2.1").env("new_ip_address", "192.0.2.7");
    assert_eq!(output(&mut reads), ",192.0.2.7\n");
}
