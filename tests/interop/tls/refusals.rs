//! Nodes that must not meet, and what each side says.

use std::path::PathBuf;

use super::certificates::{Authority, Files};
use super::{Site, fresh};
use crate::support::{Beam, Daemon, eventually};

/// How a certificate is wrong, what `erl` is told, and what the log says.
fn wrong(site: &Site, other: &Authority) -> Vec<(&'static str, Files, PathBuf)> {
    let ours = &site.authority;
    let foreign = other.issue().trusting(ours);
    let (nobody, expired, elsewhere) = (ours.issue(), ours.issue_expired(), ours.issue_for("elsewhere.example"));
    let opt = |files: &Files| files.optfile("");
    vec![
        ("the certificate is of no authority that we trust", foreign.clone(), opt(&foreign)),
        ("the peer has no certificate", nobody.clone(), nobody.optfile_of_nobody()),
        ("the certificate has expired", expired.clone(), opt(&expired)),
        ("its TLS certificate is not for the host of its node name", elsewhere.clone(), opt(&elsewhere)),
    ]
}

#[test]
fn whom_we_do_not_let_in() {
    let Some(site) = Site::new() else { return };
    let daemon = site.daemon(&site.authority.issue(), &[]).start();
    let other = Authority::new();
    for (why, _, optfile) in wrong(&site, &other) {
        let Some(beam) = site.erl(&daemon.cookie, &optfile, &[]) else { return };
        beam.know(&daemon);
        beam.expect(&[("net_kernel:connect_node(N).", "false"), ("nodes(connected).", "[]")]);
        daemon.await_log(why);
    }
    assert_eq!(daemon.log().matches("refused a node").count(), 4, "one line each:\n{}", daemon.log());
    let Some(beam) = site.erl(&daemon.cookie, &site.authority.issue().optfile(""), &[]) else { return };
    beam.know(&daemon);
    beam.expect(&[("net_adm:ping(N).", "pong")]);
}

#[test]
fn what_can_be_let_go() {
    let Some(site) = Site::new() else { return };
    let ours = site.authority.issue();
    let anywhere = site.daemon(&ours, &["--tls-check-name=false"]).start();
    let unverified = site.daemon(&ours, &["--tls-verify", "none", "--protocol", "111"]).start();
    unverified.await_log("tls_verify is none");
    let other = Authority::new();
    for (why, _, optfile) in wrong(&site, &other) {
        let Some(beam) = site.erl("c", &optfile, &[]) else { return };
        for (daemon, is_let_in) in [(&anywhere, why.contains("host")), (&unverified, true)] {
            beam.ok(&format!("erlang:set_cookie('{}', '{}').", daemon.node, daemon.cookie));
            assert_eq!(
                beam.ok(&format!("net_kernel:connect_node('{}').", daemon.node)),
                is_let_in.to_string(),
                "{why}"
            );
        }
    }
}

#[test]
fn whom_we_do_not_dial_into() {
    let Some(site) = Site::new() else { return };
    let other = Authority::new();
    let mut cases = wrong(&site, &other);
    // Nobody accepts without a certificate; and one that does not trust us.
    cases[1] = ("the peer refuses us", site.authority.issue(), site.authority.issue().trusting(&other).optfile(""));
    let names: Vec<_> = cases.iter().map(|_| fresh()).collect();
    let flags: Vec<_> = names.iter().flat_map(|name| ["--connect", name]).collect();
    let options = site.daemon(&site.authority.issue(), &flags);
    let beams: Vec<Beam> = cases
        .iter()
        .zip(&names)
        .map_while(|((_, _, optfile), name)| site.named(options.the_cookie(), name, optfile, &[]))
        .collect();
    if beams.is_empty() {
        return;
    }
    let daemon = options.start();
    for (name, (why, ..)) in names.iter().zip(&cases) {
        let line = || {
            let log = daemon.log();
            log.lines().find(|line| line.contains(name) && line.contains("not connected")).map(str::to_owned)
        };
        eventually("a line", || line().is_some());
        let line = line().unwrap();
        let why = if why.contains("host") { "the certificate is not for the host of the node's name" } else { why };
        // What ends a TLS 1.2 handshake may be lost with the connection.
        let is_reset = why.contains("refuses") && (line.contains("closed") || line.contains("reset"));
        assert!(line.contains(why) || is_reset, "{why}: {line}");
    }
    for beam in beams {
        beam.expect(&[("nodes(connected).", "[]")]);
    }
}

#[test]
fn plain_and_tls_do_not_meet_and_say_so() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let names = [fresh(), fresh()];
    let secure = site.daemon(&files, &["--connect", &names[0]]);
    let plain =
        Daemon::options(&site.epmd.place()).netns(&site.net).flags(&["--protocol", "111", "--connect", &names[1]]);
    let Some(plain_beam) = Beam::named(&site.epmd.place(), secure.the_cookie(), "-name", &names[0], &[]) else {
        return;
    };
    let Some(secure_beam) = site.named(plain.the_cookie(), &names[1], &files.optfile(""), &[]) else { return };
    let (secure, plain) = (secure.start(), plain.start());
    for (beam, daemon, why) in [
        (&plain_beam, &secure, "it speaks plain distribution, and this node TLS"),
        (&secure_beam, &plain, "it speaks TLS distribution, and this node does not"),
    ] {
        beam.know(daemon);
        beam.expect(&[("net_kernel:connect_node(N).", "false")]);
        daemon.await_log(why);
        let dialled = "not connected; trying until it is";
        daemon.await_log(dialled);
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(dialled)).unwrap();
        assert!(line.contains("TLS"), "{line}");
        let refusals = || daemon.log().matches("refused a node").count();
        eventually("the one that dialled is refused", || refusals() > 0);
        assert_eq!(refusals(), 1, "{}", daemon.log());
    }
}
