//! SIGHUP.

use std::fs;

use nix::sys::signal::Signal;

use super::Site;
use super::certificates::Authority;
use crate::support::eventually;

#[test]
fn sighup_brings_new_certificates_and_bad_ones_leave_the_old() {
    let Some(site) = Site::new() else { return };
    let files = site.authority.issue();
    let daemon = site.daemon(&files, &[]).start();
    let erl = |authority: &Authority| {
        let beam = site.erl(&daemon.cookie, &authority.issue().optfile(""), &[])?;
        beam.know(&daemon);
        Some(beam)
    };
    let (next, Some(old)) = (Authority::new(), erl(&site.authority)) else { return };
    old.expect(&[("net_adm:ping(N).", "pong")]);
    // A certificate without its key: nothing changes.
    let lone = next.issue();
    fs::copy(&lone.cert, &files.cert).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("the TLS certificates of before stay");
    let shown = files.key.display().to_string();
    assert!(daemon.log().contains(&format!("the TLS key in {shown} is not that of the certificate in")));
    let second = erl(&site.authority).unwrap();
    second.expect(&[("net_adm:ping(N).", "pong")]);
    // All three of another authority. The optfiles name the old one's files no more than its nodes' memories do.
    let keeper = tempfile::tempdir().unwrap();
    let old_ca = keeper.path().join("ca.pem");
    fs::copy(site.authority.ca(), &old_ca).unwrap();
    files.overwrite(&next.issue());
    let loaded = || daemon.log().matches("\"TLS certificate\"").count();
    let before = loaded();
    daemon.signal(Signal::SIGHUP);
    eventually("they are read", || loaded() == before + 1);
    let new = erl(&next).unwrap();
    new.expect(&[("net_adm:ping(N).", "pong")]);
    old.expect(&[("nodes(hidden) =:= [N].", "true"), ("element(1, gen_server:call(RM, nothing)).", "error")]);
    old.expect(&[("disconnect_node(N).", "true")]);
    fs::copy(&old_ca, site.authority.ca()).unwrap();
    let third = erl(&site.authority).unwrap();
    third.expect(&[("net_kernel:connect_node(N).", "false")]);
    daemon.await_log("refused a node");
}
