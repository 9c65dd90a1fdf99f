//! The configuration's layers, its refusals with their sentences, and the cookie's rules.

// clippy.toml lets test functions do this; their helpers are meant as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cookies;
mod file;
mod tls;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use beamroute::cli::{Cli, Command};
use beamroute::config::{
    Config, ConfigError, Cookie, CookieSource, Flush, HostName, Listening, LogFormat, OnExit, Seccomp, Surroundings,
};
use beamroute::epmd::EpmdMode;
use beamroute::node::{AutoConnect, Permissions, Rights, SocketOption};
use beamroute::route::{InterfaceType, Metric, Ranking};

fn around(variables: &[(&str, &str)]) -> Surroundings {
    Surroundings {
        variables: variables.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect(),
        host: HostName { name: "gw1".into(), domain: None },
        default_file: PathBuf::from("/nonexistent/beamroute.toml"),
    }
}

/// `run FLAGS` with these variables and this file.
fn resolve(flags: &str, variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, ConfigError> {
    let line = ["beamroute", "run"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
    let Command::Run(run) = Cli::parse_from_args(line).unwrap().command else { panic!() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.toml");
    let path = file.map(|text| {
        fs::write(&path, text).unwrap();
        path
    });
    Config::resolve(run.options, path.as_deref(), &around(variables))
}

/// The sentence of a refusal, the temporary directory left out.
fn refusal(flags: &str, variables: &[(&str, &str)], file: Option<&str>) -> String {
    let error = resolve(flags, variables, file).expect_err("accepted").to_string();
    match error.split_once("/b.toml") {
        Some((_, rest)) => format!("b.toml{rest}"),
        None => error,
    }
}

#[test]
fn defaults() {
    let config = resolve("", &[], None).unwrap();
    assert_eq!(config.node_name.to_string(), "beamroute@gw1");
    assert_eq!((config.port, config.epmd, config.epmd_port), (0, EpmdMode::Auto, 4369));
    assert_eq!((config.listen, config.netns, config.file), (None, None, None));
    assert_eq!(config.state_dir, Path::new("/run/beamroute"));
    assert_eq!(config.max_interfaces, 256);
    assert_eq!(config.net_ticktime, Duration::from_secs(60));
    assert_eq!((config.permissions, config.log_format), (Permissions::default(), LogFormat::Text));
    assert_eq!(config.allow, [""; 0]);
    assert_eq!((config.protocol, config.rule_priority), (110, 30_000));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn flags_over_environment_over_file_over_defaults() {
    let file = Some("port = 3\nadmin = \"all\"\n");
    let env = [("BEAMROUTE_PORT", "2")];
    for (flags, env, file, port) in [
        ("--port 1", &env[..], file, 1),
        ("", &env, file, 2),
        ("", &[], file, 3),
        ("", &[("BEAMROUTE_PORT", "")], file, 3),
        ("", &[], None, 0),
    ] {
        let config = resolve(flags, env, file).unwrap();
        assert_eq!(config.port, port, "{flags} {env:?} {file:?}");
        assert_eq!(config.permissions.others.admin, file.is_some(), "other keys are left alone");
    }
}

#[test]
fn every_option_in_every_layer() {
    type Holds = fn(&Config) -> bool;
    let options: [(&str, &str, &str, Holds); 29] = [
        ("name", "a@127.0.0.1", "\"a@127.0.0.1\"", |c| c.node_name.to_string() == "a@127.0.0.1"),
        ("sname", "a", "\"a\"", |c| c.node_name.to_string() == "a@gw1"),
        ("cookie_file", "/c", "\"/c\"", |c| c.cookie == CookieSource::File("/c".into())),
        ("listen", "::1", "\"::1\"", |c| c.listen == "::1".parse().ok()),
        ("port", "9100", "9100", |c| c.port == 9100),
        ("epmd", "external", "\"external\"", |c| c.epmd == EpmdMode::External),
        ("netns", "blue", "\"blue\"", |c| c.netns.as_ref().unwrap().path() == Path::new("/run/netns/blue")),
        ("user", "nobody", "\"nobody\"", |c| c.user.as_deref() == Some("nobody")),
        ("seccomp", "log", "\"log\"", |c| c.seccomp == Seccomp::Log),
        ("state_dir", "/s", "\"/s\"", |c| c.state_dir == Path::new("/s")),
        ("max_interfaces", "8", "8", |c| c.max_interfaces == 8),
        ("connect", "a@gw2", "[\"a@gw2\"]", |c| c.connect.iter().map(ToString::to_string).eq(["a@gw2"])),
        ("pg_group", "a,b", "[\"a\", \"b\"]", |c| c.pg_groups == ["a", "b"]),
        ("pg_scope", "fleet", "\"fleet\"", |c| c.pg_scope == "fleet"),
        ("dist_auto_connect", "once", "\"once\"", |c| c.auto_connect == AutoConnect::Once),
        ("net_ticktime", "1m", "\"1m\"", |c| c.net_ticktime == Duration::from_secs(60)),
        ("dist_listen_options", "keepalive=true", "\"keepalive=true\"", |c| {
            c.socket_defaults.listen.contains(&SocketOption::Keepalive(true)) && c.socket_defaults.connect.len() == 1
        }),
        ("dist_connect_options", "linger=5", "\"linger=5\"", |c| {
            c.socket_defaults.connect.contains(&SocketOption::Linger(Some(5))) && c.socket_defaults.listen.len() == 1
        }),
        ("local_networks_first", "true", "true", |c| c.local_networks_first),
        ("recheck", "5m", "300", |c| c.recheck == Duration::from_secs(300)),
        ("on_exit", "clear", "\"clear\"", |c| c.on_exit == OnExit::Clear),
        ("exit_with_stdin", "true", "true", |c| c.exits_with_stdin),
        ("flush", "conntrack", "\"conntrack\"", |c| c.flush == Flush::Conntrack),
        ("admin", "all", "\"all\"", |c| c.permissions.others.admin),
        ("allow", "a@h,b@,h", "[\"a@h\", \"b@\", \"h\"]", |c| c.allow == ["a@h", "b@", "h"]),
        ("metrics", "127.0.0.1:9569", "\"127.0.0.1:9569\"", |c| c.metrics == "127.0.0.1:9569".parse().ok()),
        ("log_format", "json", "\"json\"", |c| c.log_format == LogFormat::Json),
        ("protocol", "111", "111", |c| c.protocol == 111),
        ("rule_priority", "7", "7", |c| c.rule_priority == 7),
    ];
    // The one that can only be refused has a test of its own, and so have those that count together.
    let others = ["visible", "tls", "tls_cert", "tls_key", "tls_ca", "tls_verify", "tls_check_name"];
    let mut keys: Vec<&str> = options.iter().map(|(key, ..)| *key).chain(others).collect();
    let mut known = beamroute::config::options::keys().to_vec();
    keys.sort_unstable();
    known.sort_unstable();
    assert_eq!(keys, known, "an option is missing in this table");
    for (key, text, toml, holds) in options {
        let flag = format!("--{}={text}", key.replace('_', "-"));
        assert!(holds(&resolve(&flag, &[], None).unwrap()), "{flag}");
        let variable = beamroute::config::options::variable(key);
        assert!(holds(&resolve("", &[(&variable, text)], None).unwrap()), "{variable}");
        assert!(holds(&resolve("", &[], Some(&format!("{key} = {toml}"))).unwrap()), "{key} = {toml}");
    }
    assert_eq!(resolve("", &[], Some("net_ticktime = 8")).unwrap().net_ticktime, Duration::from_secs(8));
}

#[test]
fn visible_is_refused_with_a_reason() {
    for (flags, env, file) in [
        ("--visible", &[][..], None),
        ("", &[("BEAMROUTE_VISIBLE", "1")], None),
        ("", &[], Some("visible = true")),
        ("--visible", &[("BEAMROUTE_VISIBLE", "0")], Some("visible = false")),
    ] {
        let error = resolve(flags, env, file).unwrap_err().to_string();
        assert!(error.contains("global:sync/0") && error.contains("leave it out"), "{error}");
    }
    for (flags, env, file) in [
        ("--visible=false", &[][..], Some("visible = true")),
        ("", &[("BEAMROUTE_VISIBLE", "0")], Some("visible = true")),
        ("", &[], Some("visible = false")),
    ] {
        assert!(resolve(flags, env, file).is_ok(), "{flags} {env:?} {file:?}");
    }
}

#[test]
fn groups_of_pg_and_their_scope() {
    let pg = |config: Config| (config.pg_groups, config.pg_scope);
    let is = |groups: &[&str], scope: &str| (groups.iter().map(ToString::to_string).collect(), scope.to_owned());
    assert_eq!(pg(resolve("", &[], None).unwrap()), is(&[], "pg"));
    let env = [("BEAMROUTE_PG_GROUP", "a,b  c a")];
    assert_eq!(pg(resolve("", &env, None).unwrap()), is(&["a", "b", "c"], "pg"));
    assert_eq!(pg(resolve("--pg-group x --pg-group y,x --pg-scope s", &env, None).unwrap()), is(&["x", "y"], "s"));
    let longest = "ü".repeat(255);
    let names = format!("pg_group = [\"{longest}\", \"Elixir.My.Routers\"]");
    assert_eq!(pg(resolve("", &[], Some(&names)).unwrap()), is(&[&longest, "Elixir.My.Routers"], "pg"));
    let alone = resolve("--pg-scope s", &[], None).unwrap();
    assert_eq!(alone.warnings, ["pg_scope counts for the groups of pg_group only, and there are none"]);
    for (flags, sentence) in [
        ("--pg-group :a", "pg_group: \":a\": not an atom name; leave the colon out"),
        ("--pg-group 'a'", "pg_group: \"'a'\": not an atom name; leave quotes, blanks and commas out"),
        ("--pg-scope a,b", "pg_scope: \"a,b\": not an atom name; leave quotes, blanks and commas out"),
        ("--pg-scope undefined", "pg_scope: \"undefined\": no process can have that name"),
    ] {
        assert_eq!(refusal(flags, &[], None), sentence);
    }
    let refused = refusal("", &[], Some(&format!("pg_group = [\"{longest}ü\"]")));
    assert!(refused.ends_with("longer than an atom can be, which is 255 characters"), "{refused}");
}

#[test]
fn nodes_to_connect_and_when() {
    let nodes = |c: &Config| c.connect.iter().map(ToString::to_string).collect::<Vec<_>>();
    let env = [("BEAMROUTE_CONNECT", "a@gw2,b@gw2  c@gw3 a@gw2")];
    assert_eq!(nodes(&resolve("", &env, None).unwrap()), ["a@gw2", "b@gw2", "c@gw3"]);
    assert_eq!(nodes(&resolve("--connect x@h --connect y@h,z@h", &env, None).unwrap()), ["x@h", "y@h", "z@h"]);
    assert_eq!(nodes(&resolve("", &[], Some("connect = [\"a@h\", \"b@h\"]")).unwrap()), ["a@h", "b@h"]);
    assert_eq!(nodes(&resolve("--name me@::1 --connect a@::1", &[], None).unwrap()), ["a@::1"]);
    for (value, when) in
        [("true", AutoConnect::Always), ("false", AutoConnect::Never), ("\"never\"", AutoConnect::Never)]
    {
        let file = format!("dist_auto_connect = {value}");
        assert_eq!(resolve("", &[], Some(&file)).unwrap().auto_connect, when, "{value}");
    }
    assert_eq!(resolve("", &[], None).unwrap().auto_connect, AutoConnect::Always);
    for (flags, sentence) in [
        ("--connect a", "connect: a: not a node name: NODE@HOST"),
        ("--connect @h", "connect: @h: not a node name: NODE@HOST"),
        ("--connect a@b@c", "connect: a@b@c: not a node name: NODE@HOST"),
        ("--connect beamroute@gw1", "connect: beamroute@gw1: this node itself"),
        (
            "--connect a@h.x",
            "connect: a@h.x: a long name, and this node has a short one: they cannot talk to each other",
        ),
        (
            "--name a@h.x --connect a@h",
            "connect: a@h: a short name, and this node has a long one: they cannot talk to each other",
        ),
    ] {
        assert_eq!(refusal(flags, &[], None), sentence);
    }
}

#[test]
fn a_name_of_either_kind_hides_the_ones_below() {
    let long = Some("name = \"a@b.c\"");
    assert_eq!(resolve("--sname x", &[], long).unwrap().node_name.to_string(), "x@gw1");
    assert_eq!(resolve("", &[("BEAMROUTE_SNAME", "y")], long).unwrap().node_name.to_string(), "y@gw1");
    assert_eq!(resolve("--name x@b.c", &[("BEAMROUTE_SNAME", "y")], None).unwrap().node_name.to_string(), "x@b.c");
}

#[test]
fn refusals_name_place_key_and_reason() {
    let none: &[(&str, &str)] = &[];
    for (flags, variables, file, sentence) in [
        ("", none, Some("prot = 1"), "b.toml: unknown key prot (did you mean port?)"),
        ("", none, Some("net-ticktime = 1"), "b.toml: unknown key net-ticktime (did you mean net_ticktime?)"),
        ("", none, Some("zzz = 1"), "b.toml: unknown key zzz"),
        ("", none, Some("[table]\nport = 1"), "b.toml: unknown key table"),
        ("", none, Some("port = \"x\""), "b.toml: port: invalid type: string \"x\", expected u16"),
        ("", none, Some("port = 70000"), "b.toml: port: invalid value: integer `70000`, expected u16"),
        (
            "",
            none,
            Some("epmd = \"maybe\""),
            "b.toml: epmd: unknown variant `maybe`, expected one of `auto`, `external`, `embedded`, `none`",
        ),
        (
            "",
            none,
            Some("protocol = 2"),
            "b.toml: protocol: 2 is the kernel's own (kernel): routes that are not ours bear it (5 to 255 may be used)",
        ),
        (
            "",
            none,
            Some("rule_priority = true"),
            "b.toml: rule_priority: invalid type: boolean `true`, expected a number from 1 to 32765",
        ),
        ("", none, Some("listen = \"eth0\""), "b.toml: listen: invalid IP address syntax"),
        ("", none, Some("name = \"a@b.c\"\nsname = \"a\""), "b.toml: a node has a name or an sname, not both"),
        ("", &[("BEAMROUTE_PORT", "x")], None, "environment variable BEAMROUTE_PORT: invalid digit found in string"),
        (
            "",
            &[("BEAMROUTE_EPMD", "x")],
            None,
            "environment variable BEAMROUTE_EPMD: must be one of auto, external, embedded, none",
        ),
        (
            "",
            &[("BEAMROUTE_NET_TICKTIME", "1y")],
            None,
            "environment variable BEAMROUTE_NET_TICKTIME: unknown unit \"y\" (ms, s, m or h)",
        ),
        (
            "",
            &[("BEAMROUTE_NAME", "a@b.c"), ("BEAMROUTE_SNAME", "a")],
            None,
            "the environment (BEAMROUTE_NAME, BEAMROUTE_SNAME): a node has a name or an sname, not both",
        ),
        ("", &[("ERL_EPMD_PORT", "0")], None, "environment variable ERL_EPMD_PORT: not a port (1 to 65535)"),
        (
            "",
            &[("ERL_EPMD_ADDRESS", "127.0.0.1,x")],
            None,
            "environment variable ERL_EPMD_ADDRESS: \"x\" is not an IP address",
        ),
        (
            "--epmd none",
            none,
            None,
            "epmd none needs a fixed port: without epmd, peers can only reach a port that they know (--port N)",
        ),
        (
            "--net-ticktime 0",
            none,
            None,
            "net_ticktime must be at least 1 s (a quarter of it is the time between ticks)",
        ),
        (
            "--sname a@b.c",
            none,
            None,
            "--sname a@b.c: a short name has no dot in its host; use --name a@b.c, or --sname a@b",
        ),
    ] {
        assert_eq!(refusal(flags, variables, file), sentence);
    }
    let error = Config::resolve(Default::default(), Some(Path::new("/nonexistent/x.toml")), &around(&[])).unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/x.toml: No such file or directory (os error 2)");
}

#[test]
fn a_cookie_in_the_file_is_refused_and_not_shown() {
    for file in ["cookie = \"SECRET\"", "cookie = SECRET", "cookies = \"SECRET\"", "port = 1\ncookie = 'SECRET"] {
        let sentence = refusal("", &[], Some(file));
        assert!(!sentence.contains("SECRET"), "{sentence}");
    }
    let sentence = refusal("", &[], Some("cookie = \"SECRET\""));
    assert!(sentence.contains("put it into a file of its own") && sentence.contains("cookie_file"), "{sentence}");
    assert!(refusal("", &[], Some("port = 1\nepmd = ")).starts_with("b.toml:2: "));
    let bad = resolve("", &[("BEAMROUTE_COOKIE", "SECR\u{e9}T")], None).unwrap_err();
    assert_eq!(
        bad.to_string(),
        "bad characters in the cookie in BEAMROUTE_COOKIE (one line of printable ASCII is allowed)"
    );
    assert!(!format!("{bad:?}").contains("SECR"));
    let config = resolve("", &[("BEAMROUTE_COOKIE", "SECRET")], None).unwrap();
    assert!(!format!("{config:?}").contains("SECRET"), "{config:?}");
    assert_eq!(config.cookie.read().unwrap().as_bytes(), b"SECRET");
}

#[test]
fn strange_variables_are_warned_of() {
    let variables = [
        ("BEAMROUTE_PROT", "1"),
        ("BEAMROUTE_COOKIE", "c"),
        ("BEAMROUTE_ZZZ", "SECRET"),
        ("OTHER", "x"),
        ("BEAMROUTE_CONFIG", ""),
    ];
    assert_eq!(
        resolve("", &variables, None).unwrap().warnings,
        [
            "the environment variable BEAMROUTE_PROT means nothing to beamroute (did you mean BEAMROUTE_PORT?)",
            "the environment variable BEAMROUTE_ZZZ means nothing to beamroute",
        ]
    );
}

#[test]
fn which_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, port: u16| {
        let path = dir.path().join(name);
        fs::write(&path, format!("port = {port}")).unwrap();
        path
    };
    let (asked, by_variable, default) = (file("a", 1), file("v", 2), file("d", 3));
    let mut around = around(&[("BEAMROUTE_CONFIG", by_variable.to_str().unwrap())]);
    around.default_file = default.clone();
    let read = |asked: Option<&Path>, around: &Surroundings| {
        let config = Config::resolve(Default::default(), asked, around).unwrap();
        (config.port, config.file)
    };
    assert_eq!(read(Some(&asked), &around), (1, Some(asked.clone())));
    assert_eq!(read(None, &around), (2, Some(by_variable)));
    around.variables.clear();
    assert_eq!(read(None, &around), (3, Some(default.clone())));
    fs::remove_file(default).unwrap();
    assert_eq!(read(None, &around), (0, None));
}

#[test]
fn epmd_as_erl_means_it() {
    let config =
        resolve("", &[("ERL_EPMD_PORT", "5000"), ("ERL_EPMD_ADDRESS", "192.0.2.1, ::1 192.0.2.2")], None).unwrap();
    let listening = Listening { addresses: vec!["127.0.1.1".parse().unwrap()], unreachable: None };
    let epmd = config.epmd_config(&listening);
    assert_eq!(epmd.port, 5000);
    assert_eq!(epmd.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1", "::1", "192.0.2.2"]);
    assert_eq!(resolve("", &[], None).unwrap().epmd_config(&listening).addresses, listening.addresses);
}
