//! What becomes of existing connections after a failover: a real kernel translates and tracks them, with two uplinks, a
//! LAN behind, and a daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod nat;
mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use beamroute::netlink::{Config, Conntrack, Flushed, within};
use support::{Daemon, Link, Netns, Site, eventually, skip};

/// Where nobody answers.
const FAR: &str = "203.0.113.1:9";

/// A gateway with the uplinks `eth0` and `wlan0`, which translates what comes from the LAN at `usb0`.
struct Gateway {
    daemon: Daemon,
    site: Site,
}

impl Gateway {
    fn new(flags: &[&str]) -> Option<Self> {
        Self::with(flags, ["192.168.1.1", "192.168.2.1"])
    }

    /// With these ways out.
    fn with(flags: &[&str], gateways: [&str; 2]) -> Option<Self> {
        let site = Site::with(&[
            Link::new("eth0", &["192.168.1.50/24", "fd00:1::50/64"]),
            Link::new("wlan0", &["192.168.2.50/24", "fd00:2::50/64"]),
            Link::new("usb0", &["10.0.0.1/24"]),
        ])?;
        if !set_up(&site.net) {
            return None;
        }
        let daemon = site.options().flags(flags).start();
        eventually("the BEAM sees the daemon", || site.beam.ok("net_adm:ping(N).") == "pong");
        site.beam.ok("Reach = fun(If, Status) -> gen_server:call(RM, {set_connection_status, If, Status}) end, ok.");
        for (name, third, gateway) in [("eth0", 1, gateways[0]), ("wlan0", 2, gateways[1])] {
            let subnets = format!("[{{{{192,168,{third},50}},24}}, {{<<\"fd00:{third}::50\">>,64}}]");
            site.beam.expect(&[
                (&format!("gen_server:call(RM, {{set_route, {name}, {subnets}, <<\"{gateway}\">>}})."), "ok"),
                (&format!("Reach({name}, internet)."), "ok"),
            ]);
        }
        Some(Self { daemon, site })
    }

    #[track_caller]
    fn set(&self, name: &str, status: &str) {
        self.site.beam.expect(&[(&format!("Reach({name}, {status})."), "ok")]);
    }

    /// A connection of the machine's own.
    fn own(&self, from: &str, to: &str) -> UdpSocket {
        flow(&self.site.net.path(), from, to)
    }

    /// A connection of someone on the LAN.
    fn lan(&self, from: &str, to: &str) -> UdpSocket {
        flow(&self.site.net.peer_path(), from, to)
    }

    fn tracked(&self) -> BTreeMap<u16, IpAddr> {
        tracked(&self.site.net.path())
    }

    /// Waits until these are tracked: what comes from the LAN is forwarded in the background.
    #[track_caller]
    fn tracks(&self, entries: &BTreeMap<u16, IpAddr>) {
        if !support::within(support::PATIENCE, || self.tracked() == *entries) {
            assert_eq!(self.tracked(), *entries);
        }
    }
}

/// Forwarding, translation, and a LAN; says whether it can be had here.
fn set_up(net: &Netns) -> bool {
    let proc = |path: &str, text: &str| std::fs::write(format!("/proc/{path}"), text);
    let done = within(Some(&net.path()), || {
        Ok(nat::masquerade().and_then(|()| {
            proc("sys/net/ipv4/ip_forward", "1")?;
            // None must end by itself while we look.
            proc("sys/net/netfilter/nf_conntrack_udp_timeout", "3600")?;
            std::fs::read(TABLE)
        }))
    });
    match done {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            skip(&format!("no address translation, or no table of connections to look at: {error}"));
            return false;
        }
        Err(error) => {
            skip(&format!("the test itself must enter the namespace: {error}"));
            return false;
        }
    }
    for address in ["192.168.1.1/24 dev eth0", "192.168.2.1/24 dev wlan0", "10.0.0.2/24 dev usb0"] {
        let words: Vec<&str> = ["addr", "add"].into_iter().chain(address.split(' ')).collect();
        assert!(net.try_ip_peer(&words).status.success());
    }
    assert!(net.try_ip_peer(&["route", "add", "default", "via", "10.0.0.1"]).status.success());
    true
}

/// A socket in the namespace, from which one datagram has gone.
fn flow(netns: &Path, from: &str, to: &str) -> UdpSocket {
    let socket = within(Some(netns), || {
        let socket = UdpSocket::bind(from).unwrap();
        socket.connect(to).unwrap();
        Ok(socket)
    });
    let socket = socket.unwrap();
    socket.send(b"hello").unwrap();
    socket
}

const TABLE: &str = "/proc/thread-self/net/nf_conntrack";

/// The kernel's own list: by the port that a connection comes from, the address that its replies go to.
fn tracked(netns: &Path) -> BTreeMap<u16, IpAddr> {
    let text = within(Some(netns), || Ok(std::fs::read_to_string(TABLE).unwrap())).unwrap();
    let udp = text.lines().filter(|line| line.contains(" udp "));
    udp.map(|line| {
        let all = |key: &str| -> Vec<String> {
            line.split_whitespace().filter_map(|word| word.strip_prefix(key)).map(str::to_owned).collect()
        };
        (all("sport=")[0].parse().unwrap(), all("dst=")[1].parse().unwrap())
    })
    .collect()
}

fn map(entries: &[(u16, &str)]) -> BTreeMap<u16, IpAddr> {
    entries.iter().map(|(port, ip)| (*port, ip.parse().unwrap())).collect()
}

#[test]
fn connections_of_the_interface_that_lost_move_and_no_others() {
    let Some(gateway) = Gateway::new(&["--flush", "conntrack"]) else { return };
    let lan = gateway.lan("10.0.0.2:4001", FAR);
    let _others = [
        gateway.own("0.0.0.0:4002", FAR),
        gateway.own("192.168.2.50:4003", FAR),
        // Its family has not moved.
        gateway.own("[fd00:1::50]:4004", "[fd00:1::7]:9"),
        gateway.lan("10.0.0.2:4005", "10.0.0.1:9"),
    ];
    let many: Vec<UdpSocket> = (5000..5200).map(|port| gateway.own(&format!("0.0.0.0:{port}"), FAR)).collect();
    let first = [(4001, "192.168.1.50"), (4002, "192.168.1.50")];
    let stay = [(4003, "192.168.2.50"), (4004, "fd00:1::50"), (4005, "10.0.0.2")];
    let mut all = map(&[&first[..], &stay].concat());
    all.extend((5000..5200).map(|port| (port, "192.168.1.50".parse().unwrap())));
    gateway.tracks(&all);
    // Not while it is the best.
    gateway.site.beam.expect(&[
        ("gen_server:call(RM, {set_metric, eth0, 7}).", "ok"),
        ("gen_server:call(RM, {set_metric, eth0, default}).", "ok"),
    ]);
    gateway.set("wlan0", "lan");
    gateway.set("wlan0", "internet");
    assert_eq!(gateway.tracked(), all);
    gateway.set("eth0", "lan");
    gateway.tracks(&map(&stay));
    gateway.daemon.await_log("deleted conntrack entries");
    let log = gateway.daemon.log();
    let line = log.lines().find(|line| line.contains("deleted conntrack entries")).unwrap();
    let fields = &serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"];
    assert_eq!((&fields["from"], &fields["to"], &fields["count"]), (&"eth0".into(), &"wlan0".into(), &202.into()));
    // The same connection goes the other way now.
    lan.send(b"again").unwrap();
    gateway.tracks(&map(&[&[(4001, "192.168.2.50")][..], &stay].concat()));
    // And back.
    gateway.set("eth0", "internet");
    gateway.tracks(&map(&stay[1..]));
    lan.send(b"and again").unwrap();
    many[0].send(b"again").unwrap();
    let back = [(4001, "192.168.1.50"), (5000, "192.168.1.50")];
    gateway.tracks(&map(&[&back[..], &stay[1..]].concat()));
    // A clear is a failover as well, although the wish is gone with its addresses.
    gateway.site.beam.expect(&[("Clear(eth0).", "ok")]);
    gateway.tracks(&map(&stay[1..]));
}

#[test]
fn ipv6_connections_move_when_ipv6_does() {
    let Some(gateway) = Gateway::with(&["--flush", "conntrack"], ["fd00:1::1", "fd00:2::1"]) else { return };
    let far = "[2001:db8::1]:9";
    let _flows = [
        gateway.own("[fd00:1::50]:4001", far),
        gateway.own("[fd00:2::50]:4002", far),
        gateway.own("192.168.1.50:4003", "192.168.1.1:9"),
    ];
    let all = [(4002, "fd00:2::50"), (4003, "192.168.1.50"), (4001, "fd00:1::50")];
    gateway.tracks(&map(&all));
    gateway.set("eth0", "disconnected");
    gateway.tracks(&map(&all[..2]));
}

#[test]
fn by_default_all_stay() {
    for flags in [&[][..], &["--flush", "none"]] {
        let Some(gateway) = Gateway::new(flags) else { return };
        let _flows = [gateway.lan("10.0.0.2:4001", FAR), gateway.own("0.0.0.0:4002", FAR)];
        let all = map(&[(4001, "192.168.1.50"), (4002, "192.168.1.50")]);
        gateway.tracks(&all);
        gateway.set("eth0", "lan");
        gateway.site.beam.expect(&[("gen_server:call(RM, plan).", "[]")]);
        assert_eq!(gateway.tracked(), all, "{flags:?}");
        assert!(!gateway.daemon.log().contains("conntrack"), "{}", gateway.daemon.log());
    }
}

#[test]
fn a_flood_of_failovers_is_answered_all_the_same() {
    let Some(gateway) = Gateway::new(&["--flush", "conntrack"]) else { return };
    let sockets: Vec<UdpSocket> = (5000..5100).map(|port| gateway.own(&format!("0.0.0.0:{port}"), FAR)).collect();
    let flap = "[[ok = Reach(eth0, S) || S <- [lan, internet]] || _ <- lists:seq(1, 300)], Reach(eth0, lan).";
    gateway.site.beam.expect(&[(flap, "ok")]);
    let own: IpAddr = "192.168.1.50".parse().unwrap();
    eventually("none is left", || gateway.tracked().values().all(|ip| *ip != own));
    // Their sockets have lost nothing but an entry.
    sockets.iter().for_each(|socket| _ = socket.send(b"again").unwrap());
    let address: SocketAddr = "192.168.1.50:5000".parse().unwrap();
    assert_eq!(sockets[0].local_addr().unwrap(), address);
    assert_eq!(gateway.tracked().len(), 100);
}

#[test]
fn only_the_addresses_that_are_named() {
    let Some(gateway) = Gateway::new(&[]) else { return };
    let _flows = [gateway.lan("10.0.0.2:4001", FAR), gateway.own("192.168.2.50:4002", FAR)];
    gateway.tracks(&map(&[(4001, "192.168.1.50"), (4002, "192.168.2.50")]));
    let config = Config { netns: Some(gateway.site.net.path()), ..Config::default() };
    let mut conntrack = Conntrack::open(&config).unwrap();
    let mut delete = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        conntrack.delete_answered_at(&addresses).unwrap()
    };
    // Not the LAN's own address, nor the far end's: replies come from there.
    for addresses in [&[][..], &["10.0.0.2", "203.0.113.1", "fd00:1::50"]] {
        assert_eq!(delete(addresses), Flushed::default());
        assert_eq!(gateway.tracked().len(), 2);
    }
    assert_eq!(delete(&["192.168.1.50"]), Flushed { deleted: 1, refused: 0 });
    assert_eq!(gateway.tracked(), map(&[(4002, "192.168.2.50")]));
}
