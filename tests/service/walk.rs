//! The README's section Install, typed line by line on a machine with a real systemd: from the package to its removal.
//!
//! The machine has the files of the folder `BEAMROUTE_WALK_ROOT`, a Debian of its own that boots whole (`scripts/walk`),
//! or else of this one. The package has the debug binary, or with `BEAMROUTE_WALK_RELEASE=1` is the one for users.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::Machine;
use crate::moves::{Moves, routes};
use crate::support::readme::{Step, at_elixir, blocks, fits, steps, type_at_iex};
use crate::support::{eventually, have, output, repository};

/// What the package is to have, besides man pages.
const FILES: [&str; 7] = [
    "/etc/beamroute/beamroute.toml",
    "/etc/iproute2/rt_protos.d/beamroute.conf",
    "/usr/bin/beamroute",
    "/usr/lib/systemd/system/beamroute.service",
    "/usr/share/bash-completion/completions/beamroute",
    "/usr/share/fish/vendor_completions.d/beamroute.fish",
    "/usr/share/zsh/vendor-completions/_beamroute",
];

/// Behind root's prompt.
fn at_root(line: &str) -> Option<&str> {
    line.strip_prefix("# ")
}

/// Makes the package, as the README says, and a later one.
fn packages() {
    let is_release = std::env::var_os("BEAMROUTE_WALK_RELEASE").is_some();
    for version in ["0.1.0-1", "0.1.0-2"] {
        let mut package = Command::new(repository("scripts/package"));
        package.args(["--version", version]);
        if !is_release {
            package.arg("--debug");
        }
        let made = output(&mut package);
        assert_eq!(made.lines().last(), Some(&*format!("target/package/beamroute_{version}_amd64.deb")), "{made}");
    }
}

#[test]
fn from_the_package_to_its_removal() {
    let system = std::env::var_os("BEAMROUTE_WALK_ROOT").map_or(PathBuf::from("/"), PathBuf::from);
    let is_here = system == Path::new("/");
    if is_here && !["dpkg-deb", "apt-get", "iex", "curl", "objdump"].iter().all(|tool| have(tool)) {
        return;
    }
    let Some(machine) = Machine::start(&system) else { return };
    packages();
    let mut typed = Vec::new();
    for (language, lines) in blocks("Install") {
        match language.as_str() {
            "sh" => assert_eq!(lines, ["scripts/package"], "what packages() does"),
            "console" => {
                for (command, said) in steps(&lines, at_root) {
                    on_the_machine(&machine, command, &said);
                    typed.push(command.to_owned());
                }
            }
            "elixir" => at_iex(&machine, at_root(&lines[0]).unwrap(), &steps(&lines[1..], at_elixir)),
            other => panic!("a block of {other}"),
        }
    }
    for part in ["0.1.0-1_amd64.deb", "status", "reload", "/metrics", "0.1.0-2_amd64.deb", "purge"] {
        assert!(typed.iter().any(|command| command.contains(part)), "{part}: {typed:#?}");
    }
}

/// Types a command, and looks around where the README promises something.
fn on_the_machine(machine: &Machine, command: &str, said: &[&str]) {
    if command.contains("0.1.0-1_amd64.deb") {
        shell(machine, command, said);
        installed(machine);
    } else if command.contains("0.1.0-2_amd64.deb") {
        let (before, kept, moves) = (machine.show("MainPID"), routes(machine), Moves::watch(machine));
        shell(machine, command, said);
        assert_eq!(machine.output("dpkg-query", &["-Wf", "${Version}", "beamroute"]), "0.1.0-2");
        assert_ne!(machine.show("MainPID"), before, "the new one runs");
        assert_eq!((routes(machine), moves.seen()), (kept, Vec::new()), "nothing moves");
    } else if command.contains("purge") {
        shell(machine, command, said);
        removed(machine);
    } else {
        shell(machine, command, said);
    }
}

/// What only looks is asked until it shows what the README says.
fn shell(machine: &Machine, command: &str, said: &[&str]) {
    let script = format!("cd '{}' && {command}", repository("").display());
    let looks = ["ip ", "beamroute status", "curl "].iter().any(|start| command.starts_with(start));
    let mut shown = machine.output("bash", &["-c", &script]);
    if looks && !fits(&shown.lines().collect::<Vec<_>>(), said) {
        crate::support::within(crate::support::PATIENCE, || {
            shown = machine.output("bash", &["-c", &script]);
            fits(&shown.lines().collect::<Vec<_>>(), said)
        });
    }
    assert!(fits(&shown.lines().collect::<Vec<_>>(), said), "{command}\n{shown}\nbut the README says\n{said:#?}");
}

fn at_iex(machine: &Machine, command: &str, steps: &[Step<'_>]) {
    type_at_iex(
        machine.command("bash", &["-c", &format!("LC_ALL=C.UTF-8 TERM=dumb {command} --dot-iex /dev/null")]),
        steps,
    );
}

fn installed(machine: &Machine) {
    assert_eq!(machine.show("ActiveState"), "inactive", "it is not started");
    assert_eq!(machine.show("UnitFileState"), "disabled");
    let files = machine.output("dpkg", &["-L", "beamroute"]);
    for file in FILES
        .iter()
        .copied()
        .chain(["/usr/share/man/man1/beamroute-run.1.gz", "/usr/share/man/man5/beamroute.toml.5.gz"])
    {
        assert!(files.lines().any(|line| line == file), "{file}: {files}");
    }
    let cookie = machine.path("/etc/beamroute/cookie");
    assert!(!cookie.exists() && !machine.systemctl(&["start", "beamroute"]).status.success());
    assert_eq!([machine.show("ExecMainStatus"), machine.show("NRestarts")], ["5", "0"], "another try helps nobody");
}

fn removed(machine: &Machine) {
    assert!(!machine.run("dpkg-query", &["-W", "beamroute"]).status.success(), "dpkg has forgotten it");
    eventually("it has ended", || machine.show("ActiveState") != "active");
    let left = ["/etc/beamroute", "/run/beamroute", "/run/private/beamroute"];
    for path in FILES.iter().chain(&left).chain(&["/etc/systemd/system/multi-user.target.wants/beamroute.service"]) {
        assert!(machine.path(path).symlink_metadata().is_err(), "{path}");
    }
    assert!(!routes(machine).contains("192.168.1"), "{}", routes(machine));
}
