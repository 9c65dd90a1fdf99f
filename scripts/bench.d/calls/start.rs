//! From the start of a server to its first answer, and its memory: a process of its own in each round.
//!
//! Usage: `bench_calls start PEER PORT NODE COMMAND...`. PORT is where it will listen, or `-` if it prints that. Notes
//! the milliseconds until the first call is answered, and the resident memory after that and with 200 connections, each of which
//! has made a call. Both processes run where the kernel puts them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::note::{note, rss_mib};
use super::wire::{Client, set_status};

const CONNECTIONS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(20);

/// Between tries to connect.
const PAUSE: Duration = Duration::from_micros(100);

/// How long the answer may take before the call is made again.
const ANSWER: Duration = Duration::from_millis(5);

/// A process may free something after its answers.
const SETTLING: Duration = Duration::from_millis(200);

/// Ended with us; should somebody else end us first, he finds its pid in the file that `BENCH_CHILD` names.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Result<Self> {
        let server = Self(command.spawn()?);
        fs::write(std::env::var_os("BENCH_CHILD").context("BENCH_CHILD")?, server.0.id().to_string())?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::env::var_os("BENCH_CHILD").map(fs::remove_file);
    }
}

pub fn run(args: &[String]) -> Result<()> {
    let [peer, port, node, program, args @ ..] = args else { bail!("usage: see the head of this file") };
    let start = Instant::now();
    let mut command = Command::new(program);
    let mut server = Server::start(command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let port = match port.as_str() {
        "-" => first_line(&mut server.0)?,
        port => port.to_owned(),
    };
    let address = format!("127.0.0.1:{port}");
    first_answer(&address, node, start)?;
    note("start_ms", peer, start.elapsed().as_secs_f64() * 1e3, "ms");
    std::thread::sleep(SETTLING);
    note("rss_idle", peer, rss_mib(server.0.id())?, "MiB");
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS {
        let mut client = Client::connect(&address, node, &format!("memory{n}@127.0.0.1"))?;
        client.call(set_status("internet"))?;
        clients.push(client);
    }
    std::thread::sleep(SETTLING);
    note("rss_200", peer, rss_mib(server.0.id())?, "MiB");
    Ok(())
}

fn first_line(server: &mut Child) -> Result<String> {
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Nobody may listen yet, and a BEAM lets nodes in before its server is registered.
fn first_answer(address: &str, node: &str, start: Instant) -> Result<()> {
    loop {
        let answered = Client::connect(address, node, "first@127.0.0.1").and_then(|mut client| {
            client.set_patience(ANSWER)?;
            client.call(set_status("internet"))
        });
        match answered {
            Ok(()) => return Ok(()),
            Err(why) => ensure!(start.elapsed() < PATIENCE, "no answer from {node} at {address}: {why:#}"),
        }
        std::thread::sleep(PAUSE);
    }
}
