//! What only the file says: the ranking, and who may do what.

use super::*;

#[test]
fn rankings_and_their_refusals() {
    let file = "ranking = [\"wifi:internet\", \"*:*\"]\n[[interface]]\nmatch = \"eth0\"\n[[interface]]\nmatch = \"eth*\"\n\
                type = \"mobile\"\nweight = 3\nmetric = \"disabled\"\nhold_up = \"10s\"\nhold_down = 2\n";
    let ranking = resolve("", &[], Some(file)).unwrap().ranking;
    assert_eq!(ranking.patterns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["wifi:internet", "*:*"]);
    let config = ranking.config("eth1".parse().unwrap()).unwrap();
    assert_eq!((config.interface_type, config.weight), (Some(InterfaceType::Mobile), Some(3)));
    assert_eq!((config.metric, config.hold_up.as_secs(), config.hold_down.as_secs()), (Some(Metric::Disabled), 10, 2));
    assert_eq!(ranking.config("eth0".parse().unwrap()).unwrap().metric, None, "the first that fits counts alone");
    for none in [None, Some(""), Some("port = 1")] {
        assert_eq!(resolve("", &[], none).unwrap().ranking, Ranking::default());
    }
    for (file, sentence) in [
        ("rankin = []", "unknown key rankin (did you mean ranking?)"),
        ("interfaces = []", "unknown key interfaces (did you mean interface?)"),
        ("ranking = \"ethernet:internet\"", "ranking: not a list, as [\"ethernet:internet\", \"*:lan\"]"),
        ("ranking = []", "ranking: empty, so that no interface would have a route; leave it out for the default"),
        ("ranking = [1]", "ranking: 1 is not a text, as \"ethernet:internet\""),
        ("ranking = [\"wifi\"]", "ranking: \"wifi\": not type:status, as ethernet:internet or *:lan"),
        ("ranking = [\"wfi:lan\"]", "ranking: \"wfi:lan\": unknown type wfi (did you mean wifi?)"),
        (
            "ranking = [\"zzz:lan\"]",
            "ranking: \"zzz:lan\": unknown type zzz (one of ethernet, wifi, mobile, local, unknown)",
        ),
        ("ranking = [\"wifi:intern\"]", "ranking: \"wifi:intern\": unknown status intern (did you mean internet?)"),
        (
            "ranking = [\"wifi:disconnected\"]",
            "ranking: \"wifi:disconnected\": a disconnected interface never has routes",
        ),
        ("ranking = [\"*:lan\", \"wifi:lan\"]", "ranking: \"wifi:lan\" never counts: \"*:lan\" stands before it"),
        ("[interface]\nmatch = \"eth0\"", "interface: written as [[interface]], with two brackets"),
        ("interface = [1]", "interface: written as [[interface]], with keys below it"),
        ("[[interface]]\nweight = 1", "interface 1: match: missing; it is a name, or a pattern as \"eth*\""),
        ("[[interface]]\nmatch = 1", "interface 1: match: 1 is not a text, as \"eth0\" or \"eth*\""),
        ("[[interface]]\nmatch = \"a b\"", "interface 1: match: \"a b\" holds a '/', a ':', white space or a NUL"),
        (
            "[[interface]]\nmatch = \"eth0\"\nwieght = 1",
            "interface \"eth0\": unknown key wieght (did you mean weight?)",
        ),
        (
            "[[interface]]\nmatch = \"eth0\"\ntype = \"modem\"",
            "interface \"eth0\": type: unknown type modem (did you mean mobile?)",
        ),
        ("[[interface]]\nmatch = \"eth0\"\nweight = 10", "interface \"eth0\": weight: 10 is not a number from 0 to 9"),
        (
            "[[interface]]\nmatch = \"eth0\"\nmetric = 0",
            "interface \"eth0\": metric: 0 is not a number from 1 to 4000000000, or \"disabled\"",
        ),
        (
            "[[interface]]\nmatch = \"eth0\"\nmetric = \"off\"",
            "interface \"eth0\": metric: \"off\" is not a number from 1 to 4000000000, or \"disabled\"",
        ),
        (
            "[[interface]]\nmatch = \"eth0\"\nhold_up = \"10d\"",
            "interface \"eth0\": hold_up: unknown unit \"d\" (ms, s, m or h)",
        ),
        (
            "[[interface]]\nmatch = \"eth0\"\nhold_down = \"25h\"",
            "interface \"eth0\": hold_down: \"25h\" is longer than a day",
        ),
        (
            "[[interface]]\nmatch = \"eth*\"\n[[interface]]\nmatch = \"eth0\"",
            "interface \"eth0\": never counts: the [[interface]] of \"eth*\" stands before it",
        ),
    ] {
        assert_eq!(refusal("", &[], Some(file)), format!("b.toml: {sentence}"));
    }
}

#[test]
fn the_ranking_is_read_again_and_other_changes_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.toml");
    let mut around = around(&[]);
    around.default_file = path.clone();
    let mut file = Config::resolve(Default::default(), None, &around).unwrap().ranking_file;
    let mut read = |text: Option<&str>| {
        text.map_or_else(|| fs::remove_file(&path).unwrap(), |text| fs::write(&path, text).unwrap());
        file.read().map(|reread| (reread.ranking.patterns.len(), reread.needs_restart))
    };
    let told = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(read(Some("ranking = [\"*:*\"]")).unwrap(), (1, told(&[])), "a file that was not there at the start");
    assert_eq!(read(Some("ranking = [\"*:*\"]\nport = 7")).unwrap(), (1, told(&["port"])));
    assert_eq!(read(Some("port = 7")).unwrap(), (8, told(&[])), "it was told before");
    let error = read(Some("ranking = [\"*:internet\"]\nport = \"x\"")).unwrap_err().to_string();
    assert!(
        error.ends_with("b.toml: port: invalid type: string \"x\", expected u16"),
        "all of it must be right: {error}"
    );
    assert_eq!(read(None).unwrap(), (8, told(&[])));
    assert_eq!(read(Some("port = 7")).unwrap(), (8, told(&["port"])));

    let mut asked = Config::resolve(Default::default(), Some(&path), &around).unwrap().ranking_file;
    fs::remove_file(&path).unwrap();
    assert!(asked.read().unwrap_err().to_string().ends_with("b.toml: No such file or directory (os error 2)"));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(asked.read().unwrap_err().to_string().ends_with("b.toml: not a regular file"), "at once");
}

#[test]
fn permissions_and_their_refusals() {
    let file = "[[permission]]\nnodes = [\"ops@*\", \"me@gw1\"]\nmay = [\"read\", \"route\", \"admin\"]\n\
                [[permission]]\nnodes = \"*@10.0.0.*\"\nmay = [\"read\"]\n[[permission]]\nnodes = \"*\"\nmay = []\n";
    let permissions = resolve("", &[], Some(file)).unwrap().permissions;
    let words = |node: &str| {
        let Rights { read, write, admin } = permissions.of(node);
        (read, write, admin)
    };
    assert_eq!(words("ops@gw7"), (true, true, true));
    assert_eq!(words("me@gw1"), (true, true, true));
    assert_eq!(words("me@10.0.0.1"), (true, false, false));
    assert_eq!(words("me@gw2"), (false, false, false));
    let all = resolve("--admin all", &[], Some(file)).unwrap().permissions;
    assert_eq!(all.of("me@gw2"), Rights { admin: true, ..Rights::default() });
    for (file, sentence) in [
        ("permision = []", "unknown key permision (did you mean permission?)"),
        ("permission = 1", "permission: written as [[permission]], with two brackets and keys below it"),
        ("[permission]\nmay = []", "permission: written as [[permission]], with two brackets and keys below it"),
        (
            "[[permission]]\nmay = [\"read\"]",
            "permission 1: nodes: missing; it is a node's name, or a pattern as \"ops@*\", or a list of them",
        ),
        ("[[permission]]\nnodes = []\nmay = []", "permission 1: nodes: empty; a node's name or a pattern is wanted"),
        ("[[permission]]\nnodes = \"gw1\"\nmay = []", "permission 1: nodes: \"gw1\" can fit no node's name"),
        (
            "[[permission]]\nnodes = \"*\"",
            "permission 1: may: missing; it is a list of \"read\", \"route\" and \"admin\"",
        ),
        ("[[permission]]\nnodes = \"*\"\nmay = [\"red\"]", "permission 1: may: unknown right red (did you mean read?)"),
        (
            "[[permission]]\nnodes = \"*\"\nmay = []\nmight = []",
            "permission 1: might: unknown key might (one of nodes, may)",
        ),
        (
            "[[permission]]\nnodes = \"*@h\"\nmay = []\n[[permission]]\nnodes = \"a@h\"\nmay = []",
            "permission 2: nodes: \"a@h\" never counts: \"*@h\" stands before it",
        ),
    ] {
        assert_eq!(refusal("", &[], Some(file)), format!("b.toml: {sentence}"));
    }
    assert_eq!(
        refusal("--allow @", &[], None),
        "allow: @: not a node's name, a host, or the part of a name up to the @"
    );
    assert_eq!(
        refusal("--name a@127.0.0.1 --allow b@127.0.0.1 --connect c@127.0.0.1", &[], None),
        "connect: c@127.0.0.1: not among the nodes of allow"
    );
}

/// What a file means, or what is wrong with it, without its name.
fn resolved(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("the.toml");
    fs::write(&file, text).unwrap();
    let config = Config::resolve(beamroute::config::Options::default(), Some(&file), &around(&[]));
    config.map_err(|error| error.to_string().split_once("the.toml: ").unwrap().1.to_owned())
}

#[test]
fn limits_and_their_refusals() {
    let resolve = |text: &str| resolved(text).map(|config| config.limits);
    let limits =
        resolve("[limits]\nhalf_open = 10\nhalf_open_per_address = 5\nconnections = 3\nepmd_names = 7\n").unwrap();
    assert_eq!((limits.half_open, limits.half_open_per_address, limits.connections), (10, 5, 3));
    assert_eq!((limits.epmd.names, limits.epmd.seats), (7, 64));
    assert_eq!(resolve("[limits]\nhalf_open = 100").unwrap().half_open_per_address, 50);
    let readme = include_str!("../../README.md");
    let shown = readme.split("```toml\n[limits]").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown.lines().filter(|line| line.contains(" = ")).count(), 9);
    assert_eq!(resolve(&format!("[limits]{shown}")), resolve(""), "README shows the defaults");
    assert_eq!(resolve(""), Ok(beamroute::config::Limits::default()));
    for (text, reason) in [
        ("limits = 3", "limits: written as [limits], with keys below it"),
        ("[limits]\nconections = 3", "limits: conections: unknown key conections (did you mean connections?)"),
        ("[limits]\nconnections = 0", "limits: connections: not a number from 1 to 4294967295"),
        ("[limits]\nconnections = -1", "limits: connections: not a number from 1 to 4294967295"),
        ("[limits]\nconnections = \"3\"", "limits: connections: not a number from 1 to 4294967295"),
        ("[limits]\nframe_bytes = 100", "limits: frame_bytes: not a number from 65536 to 4294967295"),
        (
            "[limits]\nhalf_open = 100\nhalf_open_per_address = 101",
            "limits: half_open_per_address: more than half_open, which is 100",
        ),
    ] {
        assert_eq!(resolve(text), Err(reason.to_owned()), "{text}");
    }
}

#[test]
fn the_readmes_permissions_and_cookies() {
    let readme = include_str!("../../README.md");
    let shown = |table: &str| {
        let block = readme.split("```toml\n").find(|block| block.starts_with(table)).unwrap();
        resolved(block.split("```").next().unwrap()).unwrap()
    };
    let permissions = shown("[[permission]]").permissions;
    for (node, rights) in
        [("ops@gw1", [true, true, true]), ("me@127.0.0.1", [true, true, true]), ("me@127.0.0.2", [true, false, false])]
    {
        let of = permissions.of(node);
        assert_eq!([of.read, of.write, of.admin], rights, "{node}");
    }
    let cookies = shown("[[cookie]]").cookies;
    assert_eq!(cookies.iter().map(|(nodes, _)| nodes.to_string()).collect::<Vec<_>>(), ["ops@*"]);
}

#[test]
fn cookies_of_nodes_and_their_refusals() {
    let resolve = |text: &str| {
        resolved(text)
            .map(|config| config.cookies.iter().map(|(nodes, _)| nodes.to_string()).collect::<Vec<_>>().join(" "))
    };
    let good = "[[cookie]]\nnodes = [\"a@h\", \"b@*\"]\nfile = \"/a\"\n[[cookie]]\nnodes = \"*\"\nfile = \"/b\"\n";
    assert_eq!(resolve(good), Ok("a@h b@* *".to_owned()));
    for (text, reason) in [
        ("[[cookie]]\nnodes = \"a@h\"", "cookie 1: file: the path of a file with the cookie is wanted"),
        ("[[cookie]]\nnodes = \"a@h\"\nfile = 3", "cookie 1: file: the path of a file with the cookie is wanted"),
        ("[[cookie]]\nnodes = \"a\"\nfile = \"/a\"", "cookie 1: nodes: \"a\" can fit no node's name"),
        (
            "[[cookie]]\nnodes = \"*\"\nfile = \"/a\"\n[[cookie]]\nnodes = \"a@h\"\nfile = \"/b\"",
            "cookie 2: nodes: \"a@h\" never counts: \"*\" stands before it",
        ),
        ("[[cookie]]\nnode = \"a@h\"\nfile = \"/a\"", "cookie 1: node: unknown key node (did you mean nodes?)"),
    ] {
        assert_eq!(resolve(text), Err(reason.to_owned()), "{text}");
    }
    assert!(resolve("[cookie]\nnodes = \"a@h\"\nfile = \"/a\"").unwrap_err().contains("does not belong here"));
}

/// The package's sample is all comments; each key in them is one, and its value is one that it may have.
#[test]
fn the_sample_configuration() {
    let sample = include_str!("../../packaging/beamroute.toml");
    assert!(sample.lines().all(|line| line.is_empty() || line.starts_with('#')), "it changes nothing");
    let keys = |line: &str| {
        line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with("# ")).map(str::to_owned)
    };
    // A sentence has a blank behind its sign; so has what a list holds.
    let mut is_list = false;
    let mut lines = Vec::new();
    for line in sample.lines().filter_map(keys) {
        if is_list || !line.starts_with(' ') {
            is_list = line.ends_with('[') || is_list && line != "]";
            lines.push(line);
        }
    }
    assert!(lines.len() > 15, "{lines:#?}");
    let config = resolve("", &[], Some(&lines.join("\n"))).unwrap();
    assert_eq!(config.ranking.patterns, Ranking::default().patterns);
    assert_eq!((config.port, config.allow.len(), config.on_exit), (9570, 1, OnExit::Keep));
}
