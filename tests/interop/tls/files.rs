//! What the program says of its files, and the commands that ask a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use super::Site;
use super::certificates::{Authority, Files};
use crate::support::beam::home_with;

fn run(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
    command.args(["run", "--sname", "x@h", "--netns", "/nonexistent"]).args(flags).env("BEAMROUTE_COOKIE", "secret");
    said(&command.stdin(Stdio::null()).output().unwrap())
}

fn said(out: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn what_is_wrong_with_a_file_is_one_sentence_with_its_name() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let other = stranger.issue();
    let path = |name: &str| authority.path().join(name);
    let written = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o400)).unwrap();
        path(name)
    };
    let good = authority.issue();
    let open = authority.issue();
    fs::set_permissions(&open.key, fs::Permissions::from_mode(0o440)).unwrap();
    let nothing = written("nothing.pem", "\n");
    let text = written("text.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let der = written("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = path("missing.pem");
    let directory = authority.path().to_path_buf();
    let with = |cert: &std::path::Path, key: &std::path::Path, ca: &std::path::Path| Files {
        cert: cert.into(),
        key: key.into(),
        ca: ca.into(),
    };
    for (files, sentence) in [
        (with(&missing, &good.key, &good.ca), "TLS certificate file FILE: No such file or directory (os error 2)"),
        (with(&directory, &good.key, &good.ca), "TLS certificate file FILE: not a regular file"),
        (with(&nothing, &good.key, &good.ca), "TLS certificate file FILE: no certificate in it (BEGIN CERTIFICATE)"),
        (with(&good.key, &good.key, &good.ca), "TLS certificate file FILE: no certificate in it (BEGIN CERTIFICATE)"),
        (with(&text, &good.key, &good.ca), "TLS certificate file FILE: not PEM"),
        (with(&der, &good.key, &good.ca), "TLS certificate file FILE: a certificate that cannot be read: "),
        (
            with(&good.cert, &open.key, &good.ca),
            "TLS key file FILE must be accessible by owner only (its mode is 0440; chmod 400 FILE)",
        ),
        (with(&good.cert, &nothing, &good.ca), "TLS key file FILE: no private key in PEM that can be used"),
        (with(&good.cert, &other.key, &good.ca), "the TLS key in FILE is not that of the certificate in"),
        (with(&good.cert, &good.key, &missing), "TLS authorities file FILE: No such file or directory (os error 2)"),
        (with(&good.cert, &good.key, &nothing), "TLS authorities file FILE: no certificate in it (BEGIN CERTIFICATE)"),
    ] {
        let (code, said) = run(&files.flags());
        let file = [&files.cert, &files.key, &files.ca].map(|file| file.display().to_string());
        let fits = file.iter().any(|file| said.contains(&sentence.replace("FILE", file)));
        assert!(code == Some(5) && fits, "{sentence}: {code:?} {said}");
        assert!(!said.contains("-----BEGIN"), "{said}");
    }
    for (flags, sentence) in [
        (&["--tls"][..], "tls: needs a certificate, see --tls-cert"),
        (
            &["--tls", "--tls-cert", "c"],
            "tls: needs the authorities that nodes' certificates must lead to, see --tls-ca",
        ),
    ] {
        assert_eq!(run(flags), (Some(5), format!("beamroute: {sentence}")));
    }
}

#[test]
fn a_certificate_that_nodes_will_refuse_is_warned_of_and_the_log_says_until_when_others_are_valid() {
    let Some(site) = Site::new() else { return };
    let log = site.daemon(&site.authority.issue_expired(), &[]).start().log();
    assert!(log.contains("the TLS certificate has expired") && log.contains("2020-01-01T00:00:00Z"), "{log}");
    assert!(!log.contains("not for the host"), "{log}");
    let log = site.daemon(&site.authority.issue_for("gw.example"), &[]).start().log();
    assert!(log.contains("the TLS certificate is not for the host of our node name"), "{log}");
    // The key in the same file, as OTP has it.
    let files = site.authority.issue();
    let both = [&files.cert, &files.key].map(|file| fs::read_to_string(file).unwrap()).concat();
    fs::remove_file(&files.cert).unwrap();
    files.put("", "");
    fs::remove_file(&files.cert).unwrap();
    fs::write(&files.cert, both).unwrap();
    fs::set_permissions(&files.cert, fs::Permissions::from_mode(0o600)).unwrap();
    let (cert, ca) = (files.cert.to_str().unwrap(), files.ca.to_str().unwrap());
    let options = crate::support::Daemon::options(&site.epmd.place()).netns(&site.net);
    let daemon = options.flags(&["--tls", "--tls-cert", cert, "--tls-ca", ca]).start();
    assert!(daemon.log().contains("2100-01-01T00:00:00Z"), "{}", daemon.log());
    let warnings = daemon.log().matches("\"WARN\"").count();
    assert_eq!(warnings, 0, "{}", daemon.log());
}

#[test]
fn the_commands_that_ask_speak_tls_too() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    let home = home_with(&daemon.cookie);
    let ask = |what: &[&str], tls: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beamroute"));
        site.epmd.place().tell(&mut command).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        command.args(what).args(["--node", &daemon.node]).args(tls).output().unwrap()
    };
    for what in ["status", "routes", "plan"] {
        let out = ask(&[what], &files.flags());
        assert!(out.status.success(), "{what}: {out:?}");
        let (code, said) = said(&ask(&[what], &[]));
        assert_eq!(code, Some(6), "{said}");
        assert!(said.contains("it speaks TLS distribution") && said.contains("see --tls"), "{said}");
    }
    let config = site.authority.path().join("b.toml");
    let toml = |files: &Files| {
        let Files { cert, key, ca } = files;
        fs::write(&config, format!("tls = true\ntls_cert = {cert:?}\ntls_key = {key:?}\ntls_ca = {ca:?}\n")).unwrap();
        said(&ask(&["status", "--config", config.to_str().unwrap()], &[]))
    };
    assert_eq!(toml(&files).0, Some(0));
    let other = Authority::new();
    let (code, said) = toml(&files.trusting(&other));
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("the certificate is of no authority that we trust"), "{said}");
    let (code, said) = toml(&Files { key: site.authority.path().join("missing"), ..files.clone() });
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("TLS key file"), "{said}");
}
