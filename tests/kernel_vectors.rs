//! VintageNet's recorded kernel states (`tests/fixtures/oracle`), played by a real BEAM node against the daemon.
//!
//! Every vector gets a fresh namespace and a daemon. After each step:
//!
//! - what we say (`status`, properties) equals what VintageNet recorded, table numbers translated, unless it crashed or
//!   we refuse what it accepted ([`model`] says which);
//! - the kernel holds exactly our entries, as far as it can, and everybody else's objects are as they were;
//! - where VintageNet was `consistent`, the kernel's routes, rules and answers to `ip route get` equal the recording.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{Beam, Daemon, Epmd, Netns, serial, within};
use vectors::check;
use vectors::kernel::{OURS, Route, Rule, State};
use vectors::model::Model;
use vectors::oracle::{self, Op, Step, Vector};

/// Play at most this many vectors at a time.
const THREADS: usize = 3;

#[test]
fn every_recorded_vector_ends_in_the_right_kernel_state() {
    let Some(epmd) = Epmd::start() else { return };
    let Some(_probe) = Netns::new(&[]) else { return };
    let Some(beam) = Beam::start(&epmd.place(), "Vectors") else { return };
    let only = std::env::var("BEAMROUTE_VECTOR").ok();
    let vectors: Vec<Vector> = oracle::read()
        .into_iter()
        .filter(|v| only.as_ref().is_none_or(|only| only.split(',').any(|id| id == v.id)))
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(vector, &epmd, &beam)));
                    let failure = match played {
                        Ok(Ok(())) => continue,
                        Ok(Err(failure)) => failure,
                        Err(panic) => format!("panic: {:?}", panic.downcast_ref::<String>()),
                    };
                    failures.lock().unwrap().insert(vector.id.clone(), failure);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown: Vec<String> = failures.iter().map(|(id, failure)| format!("== {id}: {failure}")).collect();
    assert!(failures.is_empty(), "{} of {} vectors fail\n{}", failures.len(), vectors.len(), shown.join("\n"));
}

#[test]
fn the_namespaces_start_in_the_recorded_state() {
    for vector in oracle::read() {
        let Some(net) = vectors::namespace(&vector) else { return };
        let ours = State::read(&net, &vector.initial.addresses());
        if vector.tags.iter().any(|tag| tag.starts_with("foreign_")) || !vector.pre.is_empty() {
            // VintageNet had deleted some of these before the recording began.
            assert!(ours.routes.is_superset(&vector.initial.routes), "{}", vector.id);
            continue;
        }
        assert_eq!(ours, vector.initial, "{}", vector.id);
    }
}

#[test]
fn the_checks_accept_what_vintagenet_did_right_and_nothing_less() {
    let mut looked = 0;
    for vector in oracle::read().into_iter().filter(|v| v.is_consistent) {
        let mut model = Model::new(vector.max_interfaces, BTreeSet::new());
        let is_foreign = vector.tags.iter().any(|tag| tag.starts_with("foreign_"));
        for step in vector.steps.iter().filter(|_| !is_foreign) {
            if !step.is_of_the_world() {
                model.reply(step);
            }
            let (status, mut kernel) = as_if_ours(step, &model);
            check::entries(&status, step, &model).unwrap();
            check::objects(&status, &kernel, &BTreeSet::new()).unwrap();
            check::recording(&status, &kernel, &vector, step, &model).unwrap();
            // And one route less is seen.
            let Some(route) = kernel.routes.iter().find(|route| route.protocol == OURS).cloned() else { continue };
            kernel.routes.remove(&route);
            check::objects(&status, &kernel, &BTreeSet::new()).unwrap_err();
            check::recording(&status, &kernel, &vector, step, &model).unwrap_err();
            looked += 1;
        }
    }
    assert!(looked > 300, "only {looked} steps");
}

/// A recorded step as if it had been ours: our table numbers, protocol and priority.
fn as_if_ours(step: &Step, model: &Model) -> (Value, State) {
    let mut entries = step.entries.clone();
    for entry in entries.as_array_mut().unwrap() {
        let table = if entry[0] == "rule" { 1 } else { entry.as_array().unwrap().len() - 1 };
        if let Some(number) = entry[table].as_u64() {
            entry[table] = json!(model.translate(&number.to_string()).parse::<u64>().unwrap());
        }
        entry[0] = match entry[0].as_str().unwrap() {
            "local" => json!("local_route"),
            "default" => json!("default_route"),
            other => json!(other),
        };
    }
    let rules = entries.as_array().unwrap().iter().take_while(|entry| entry[0] == "rule").count();
    entries.as_array_mut().unwrap()[..rules].sort_by_key(|entry| entry[1].as_u64());
    let mut interfaces = json!({});
    for (name, table) in model.tables() {
        interfaces[name] = json!({"table": table});
    }
    let routes = step.kernel.routes.iter().cloned().map(|route| Route {
        table: model.translate(&route.table),
        protocol: if route.protocol == "boot" { OURS.to_owned() } else { route.protocol },
        ..route
    });
    let rules = step.kernel.rules.iter().cloned().map(|rule| Rule {
        table: model.translate(&rule.table),
        protocol: OURS.to_owned(),
        priority: check::PRIORITY,
        ..rule
    });
    let route_get = step.kernel.route_get.clone();
    let kernel = State { routes: routes.collect(), rules: rules.collect(), route_get };
    (json!({"entries": entries, "interfaces": interfaces}), kernel)
}

/// Plays one vector; the error says at which step what was wrong.
fn play(vector: &Vector, epmd: &Epmd, beam: &Beam) -> Result<(), String> {
    let net = vectors::namespace(vector).ok_or("no namespace")?;
    let mut foreign = State::read(&net, &[]).foreign();
    let (name, state_dir) = (format!("kv{}x{}@127.0.0.1", std::process::id(), serial()), tempfile::tempdir().unwrap());
    let start = || {
        let options = Daemon::options(&epmd.place()).cookie("Vectors").naming("--name", &name).netns(&net);
        let options = options.state_dir(state_dir.path());
        options.flags(&["--max-interfaces", &vector.max_interfaces.to_string()]).start()
    };
    let mut daemon = start();
    let mut model = Model::new(vector.max_interfaces, State::read(&net, &[]).foreign_tables());
    for (index, step) in vector.steps.iter().enumerate() {
        let is_restart = matches!(step.op, Op::Restart);
        if is_restart {
            // VintageNet forgets; we do not.
            model.restart();
            daemon = restarted(daemon, &start, &net, beam).map_err(|what| format!("step {index}: {what}"))?;
        }
        let at = |what: String| format!("step {index} {}: {what}\n{}", step.text, daemon.log());
        if step.is_of_the_world() && !is_restart {
            foreign = change_world(step, &net);
        } else if !is_restart {
            let expected = model.reply(step);
            let reply =
                beam.json(&format!("gen_server:call({{route_manager, '{}'}}, {})", daemon.node, step.op.term()));
            let reply = if reply.get(0) == Some(&json!("error")) { json!([reply[0], reply[1][0]]) } else { reply };
            if reply != expected {
                return Err(at(format!("reply {reply}, expected {expected}")));
            }
        }
        // After a reply the first look is right; after a change of the world, it is right within a moment.
        let mut result = Ok(());
        let look = || {
            let status = beam.json(&format!("gen_server:call({{route_manager, '{}'}}, status)", daemon.node));
            let kernel = State::read(&net, &step.kernel.addresses());
            result = properties(beam, &daemon, step, &model)
                .and_then(|()| check::entries(&status, step, &model))
                .and_then(|()| check::kernel_holds_entries(&status, &kernel, &net, &foreign))
                .and_then(|()| check::recording(&status, &kernel, vector, step, &model));
            result.is_ok()
        };
        let patience = if step.is_of_the_world() { 2 } else { 0 };
        within(std::time::Duration::from_secs(patience), look);
        result.map_err(at)?;
    }
    Ok(())
}

/// Kills the daemon and starts it again: it says what it said, and the kernel has what it had.
fn restarted(mut daemon: Daemon, start: &impl Fn() -> Daemon, net: &Netns, beam: &Beam) -> Result<Daemon, String> {
    let look = |daemon: &Daemon| {
        let status = beam.ok(&format!("gen_server:call({{route_manager, '{}'}}, status).", daemon.node));
        (status, State::read(net, &[]))
    };
    let before = look(&daemon);
    daemon.kill();
    daemon = start();
    within(support::PATIENCE, || beam.ok(&format!("net_adm:ping('{}').", daemon.node)) == "pong");
    let after = look(&daemon);
    if before == after { Ok(daemon) } else { Err(format!("the restart changed {before:?} to {after:?}")) }
}

/// Does what the recording did, and gives what is then there of others.
fn change_world(step: &Step, net: &Netns) -> State {
    match &step.op {
        Op::Env(args) => net.try_ip(&args.iter().map(String::as_str).collect::<Vec<_>>()),
        Op::EnvPeer(args) => net.try_ip_peer(&args.iter().map(String::as_str).collect::<Vec<_>>()),
        op => panic!("{op:?} is none of the world"),
    };
    State::read(net, &[]).foreign()
}

/// VintageNet's three properties, where the recording counts.
fn properties(beam: &Beam, daemon: &Daemon, step: &Step, model: &Model) -> Result<(), String> {
    // Changes of the world were recorded without properties.
    if !model.recording_counts() || step.props.is_null() {
        return Ok(());
    }
    let get = |property: &str| {
        beam.json(&format!("gen_server:call({{route_manager, '{}'}}, {{get, {property}}})", daemon.node))
    };
    let mut ours = json!({
        "available_interfaces": get("[<<\"available_interfaces\">>]"),
        "connection": get("[<<\"connection\">>]"),
        "interfaces": {},
    });
    for name in step.props["interfaces"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        ours["interfaces"][name] = get(&format!("[<<\"interface\">>, <<\"{name}\">>, <<\"connection\">>]"));
    }
    if ours == step.props { Ok(()) } else { Err(format!("properties\n ours     {ours}\n recorded {}", step.props)) }
}
