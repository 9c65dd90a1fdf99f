//! The README's section, run as it stands.

use std::fs;
use std::process::Command;

use super::{Site, fresh};
use crate::support::readme::blocks;
use crate::support::{Beam, Daemon, eventually, have, output};

#[test]
fn the_readme_s_commands_make_nodes_that_meet_in_both_directions() {
    let Some(site) = Site::new() else { return };
    if !have("openssl") {
        return;
    }
    let blocks: Vec<_> = blocks("TLS").into_iter().map(|(kind, lines)| (kind, lines.join("\n"))).collect();
    let kinds: Vec<_> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["sh", "erlang", "sh"]);
    let dir = site.authority.path();
    // Its nodes are on 192.0.2.7, and its files in /etc.
    let here = |text: &str| text.replace("192.0.2.7", "127.0.0.1").replace("/etc/beamroute/tls", dir.to_str().unwrap());
    output(Command::new("sh").args(["-ec", &here(&blocks[0].1)]).current_dir(dir).env("LC_ALL", "C"));
    fs::write(dir.join("ssl_dist.conf"), here(&blocks[1].1)).unwrap();
    let commands = here(&blocks[2].1);
    let words = |program: &str| -> Vec<String> {
        let line = commands.lines().find(|line| line.starts_with(program)).expect(program);
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let flags: Vec<_> = words("beamroute").into_iter().skip_while(|word| word != "--tls").collect();
    let name = fresh();
    let connect = ["--connect".to_owned(), name.clone()];
    let flags: Vec<&str> = flags.iter().chain(&connect).map(String::as_str).collect();
    let options = Daemon::options(&site.epmd.place()).netns(&site.net).flags(&flags);
    let erl: Vec<_> = words("erl").into_iter().skip_while(|word| word != "-proto_dist").collect();
    let erl: Vec<&str> = erl.iter().map(String::as_str).collect();
    let cookie = options.the_cookie().to_owned();
    let Some(dialled) = Beam::named(&site.epmd.place(), &cookie, "-name", &name, &erl) else { return };
    let daemon = options.start();
    dialled.know(&daemon);
    eventually("the daemon has dialled", || dialled.ok("nodes(hidden) =:= [N].") == "true");
    let dials = Beam::named(&site.epmd.place(), &cookie, "-name", &fresh(), &erl).unwrap();
    dials.know(&daemon);
    dials.expect(&[("net_adm:ping(N).", "pong")]);
}
