//! Files: the saved state and the configuration.

use std::path::PathBuf;

use beamroute::config::{self, HostName, Surroundings};
use beamroute::route_manager::rewrite;

pub const STATE_WORDS: &[&[u8]] = &[
    br#"{"beamroute":"desired state","version":1,"protocol":110,"netns":"","records":1}"#,
    br#"[{"wish":{"ifname":"eth0","status":"lan","why":null,"since_ms":7,"set_by":null,"subnets":["10.0.0.5/24"],"gateway":"10.0.0.1","table":100}}]"#,
    br#"[{"status":{"ifname":"eth0","status":"internet","why":"x","since_ms":8,"set_by":null,"owner":"a@h"}}]"#,
    br#""set_by":{"node":"a@h","id":1,"serial":2,"creation":3}"#,
    br#""owners":{"route":"b@h","status":null},"#,
    br#"[{"clear":"eth0"}]"#,
    br#"{"clear":"%FFth0"}"#,
    br#"[{"cleared":["eth0","eth1"]}]"#,
    br#"[{"metric":{"ifname":"eth0","metric":5}}]"#,
    br#"{"metric":{"ifname":"eth0","metric":"disabled"}}"#,
    br#"[{"policy":{"node":"a@h","policy":{"clear_after":5}}}]"#,
    br#"{"policy":{"node":"a@h","policy":"keep"}}"#,
    b"\n",
    b"\\u0000",
    b"internet",
    b"99999999999999999999",
    b"fd00::1/64",
    b"1e400",
    b"[[[[[[[[",
    b"null",
];

/// A journal. Its first byte says whether the lines have their checksums, or get right ones here.
pub fn state(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    let text = if first & 1 == 0 { text.to_vec() } else { with_checksums(text) };
    let Ok(anew) = rewrite(&text, 110, "", 8) else { return };
    let again = rewrite(&anew, 110, "", 8);
    assert_eq!(again.as_ref().map(|text| String::from_utf8_lossy(text)), Ok(String::from_utf8_lossy(&anew)));
}

fn with_checksums(text: &[u8]) -> Vec<u8> {
    let (mut out, mut hasher) = (Vec::new(), crc32fast::Hasher::new());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        hasher.update(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend(format!("{:08x} ", hasher.clone().finalize()).into_bytes());
        out.extend(line);
    }
    out
}

pub const CONFIG_WORDS: &[&[u8]] = &[
    b"name = \"gw@192.0.2.7\"\n",
    b"sname = \"gw\"\n",
    b"listen = \"127.0.0.1\"\n",
    b"port = 5000\n",
    b"epmd = \"none\"\n",
    b"cookie = \"x\"\n",
    b"cookie_file = \"/x\"\n",
    b"connect = [\"a@h.x\"]\n",
    b"pg_group = [\"g\"]\n",
    b"pg_scope = \"pg\"\n",
    b"net_ticktime = 60\n",
    b"dist_listen_options = \"nodelay=true\"\n",
    b"recheck = 60\n",
    b"protocol = 110\n",
    b"rule_priority = 1\n",
    b"local_networks_first = true\n",
    b"max_interfaces = 256\n",
    b"flush = \"conntrack\"\n",
    b"admin = \"all\"\n",
    b"ranking = [\"ethernet:internet\", \"*:lan\"]\n",
    b"[[interface]]\nmatch = \"usb*\"\ntype = \"mobile\"\nweight = 3\n",
    b"metric = \"disabled\"\n",
    b"metric = 45\n",
    b"hold_up = \"1m\"\n",
    b"hold_down = 500\n",
    b"\"",
    b"[",
    b"]",
    b"= ",
    b"-1",
    b"1e9",
    b"99999999999999999999",
    b"1979-05-27T07:32:00Z",
    b"a.b.c.d.e",
    b"\xc3\xa9",
];

/// A configuration file.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let around = Surroundings {
        variables: [("HOME".into(), "/nowhere".into())].into(),
        host: HostName::default(),
        default_file: PathBuf::from("/nowhere/beamroute.toml"),
    };
    match config::resolve_text(&text, &around) {
        Ok(config) => assert!(config.net_ticktime.as_secs() >= 1),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
