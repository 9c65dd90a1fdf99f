//! The fuzzer: `beamroute-fuzz [--seconds N] [--keep] [--table FILE] [TARGET...]`, or `--list`, in the folder `fuzz/`.
//!
//! Each target runs for so long (5 s) on inputs made of its corpus. `--keep` writes what reached new code back to the
//! corpus, `--table` adds the minutes to a table. A fault is written to `found/` and told; the exit status is then 1. A crash of
//! the whole process leaves its input in `found/TARGET.running`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use beamroute_fuzz::coverage::Coverage;
use beamroute_fuzz::mutate::{Random, mutate};
use beamroute_fuzz::{MAX_SECONDS, Target, corpus, run, targets};

/// As much as a thread of a runtime has.
const STACK_BYTES: usize = 2 << 20;

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What the command line says.
struct Options {
    seconds: u64,
    keep: bool,
    table: Option<PathBuf>,
    names: Vec<String>,
}

/// What came of a target's run.
struct Report {
    inputs: u64,
    edges: usize,
    findings: usize,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        PLACE.set(place);
    }));
    let mut findings = 0;
    for target in targets() {
        if !options.names.is_empty() && !options.names.iter().any(|name| name == target.name) {
            continue;
        }
        let started = Instant::now();
        let report = on_a_thread(target, options.seconds, options.keep);
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{:12} {seconds:6.1} s {:9} inputs {:5} edges {:2} findings",
            target.name, report.inputs, report.edges, report.findings
        );
        findings += report.findings;
        if let Some(table) = &options.table
            && let Err(error) = add_to_table(table, target.name, seconds / 60.0, &report)
        {
            eprintln!("{}: {error}", table.display());
            return ExitCode::FAILURE;
        }
    }
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 5, keep: false, table: None, names: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = arguments.next().and_then(|text| text.parse().ok());
                options.seconds = number.ok_or("--seconds needs a number")?;
            }
            "--keep" => options.keep = true,
            "--list" => {
                let names: Vec<_> = targets().iter().map(|target| target.name).collect();
                println!("{}", names.join(" "));
                std::process::exit(0);
            }
            "--table" => options.table = Some(arguments.next().ok_or("--table needs a file")?.into()),
            name if targets().iter().any(|target| target.name == name) => options.names.push(name.to_owned()),
            other => {
                let names: Vec<_> = targets().iter().map(|target| target.name).collect();
                return Err(format!("{other} is neither an option nor one of {}", names.join(", ")));
            }
        }
    }
    Ok(options)
}

/// Runs the target on a thread with a stack of usual size, and watches that no input takes too long.
fn on_a_thread(target: Target, seconds: u64, keep: bool) -> Report {
    let watch = Arc::new(Watch::new(&target));
    let is_done = Arc::new(AtomicBool::new(false));
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn({
        let (watch, is_done) = (Arc::clone(&watch), Arc::clone(&is_done));
        move || {
            let report = fuzz(&target, seconds, keep, &watch);
            is_done.store(true, Relaxed);
            report
        }
    });
    let worker = worker.unwrap_or_else(|error| fatal(&format!("no thread: {error}")));
    while !is_done.load(Relaxed) && !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        if watch.seconds() > MAX_SECONDS {
            fatal(&format!("{}: over {MAX_SECONDS} s for one input, see {}", target.name, watch.file.display()));
        }
    }
    let report = worker.join().unwrap_or_else(|_| fatal("the fuzzer itself has panicked"));
    let _ = fs::remove_file(&watch.file);
    report
}

fn fatal(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1);
}

/// The input that runs now, also on disk: a stack overflow or an abort leaves nothing else.
struct Watch {
    file: PathBuf,
    running: Option<File>,
    /// Milliseconds since `epoch`; 0 between inputs.
    since: AtomicU64,
    epoch: Instant,
}

impl Watch {
    fn new(target: &Target) -> Self {
        let _ = fs::create_dir_all("found");
        let file = PathBuf::from(format!("found/{}.running", target.name));
        Self { running: File::create(&file).ok(), file, since: AtomicU64::new(0), epoch: Instant::now() }
    }

    fn begin(&self, input: &[u8]) {
        if let Some(file) = &self.running {
            let _ = file.set_len(input.len() as u64);
            let _ = file.write_all_at(input, 0);
        }
        self.since.store(self.epoch.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Relaxed);
    }

    fn seconds(&self) -> u64 {
        match self.since.load(Relaxed) {
            0 => 0,
            since => (self.epoch.elapsed().as_millis() as u64).saturating_sub(since) / 1000,
        }
    }
}

fn fuzz(target: &Target, seconds: u64, keep: bool, watch: &Watch) -> Report {
    let file = PathBuf::from(format!("corpus/{}.hex", target.name));
    let mut inputs = corpus::read(&file).unwrap_or_else(|error| fatal(&format!("{}: {error}", file.display())));
    if inputs.is_empty() {
        inputs = target.words.iter().map(|word| word.to_vec()).chain([vec![]]).collect();
    }
    let mut coverage = Coverage::of_counts();
    let mut faults = Faults::default();
    let mut random = Random::new(Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()) << 20);
    for input in &inputs {
        coverage.reset();
        faults.try_it(target, input, watch);
        coverage.add();
    }
    let (began, mut tried) = (Instant::now(), inputs.len() as u64);
    while tried % 64 != 0 || began.elapsed() < Duration::from_secs(seconds) {
        // What was found last is most likely to lead on.
        let near = inputs.len().min(1 + (random.number() as usize % 4) * inputs.len() / 3);
        let from = inputs.len() - near + random.below(near);
        let mut input = inputs[from].clone();
        mutate(&mut input, target, &inputs, &mut random);
        coverage.reset();
        let is_good = faults.try_it(target, &input, watch);
        tried += 1;
        if coverage.add() > 0 && is_good {
            inputs.push(input);
        }
    }
    let edges = coverage.edges();
    if keep && coverage.is_there() {
        // What panicked would do so again.
        inputs.retain(|input| faults.try_it(target, input, watch));
        if let Err(error) = corpus::write_smallest(&file, target, inputs) {
            fatal(&format!("{}: {error}", file.display()));
        }
    }
    Report { inputs: tried, edges, findings: faults.by_place.len() }
}

/// Panics, one for each place.
#[derive(Default)]
struct Faults {
    by_place: BTreeMap<String, Vec<u8>>,
}

impl Faults {
    /// Whether the target was content.
    fn try_it(&mut self, target: &Target, input: &[u8], watch: &Watch) -> bool {
        watch.begin(input);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(target, input)));
        watch.end();
        let Err(why) = outcome else { return true };
        let words = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
        let place = PLACE.take();
        let smallest = self.by_place.get(&place).map_or(usize::MAX, Vec::len);
        if input.len() < smallest {
            let name = format!("found/{}-{:08x}", target.name, crc32fast::hash(place.as_bytes()));
            let _ = fs::write(Path::new(&name), input);
            let words: String = words.unwrap_or("?").chars().take(400).collect();
            println!("{}: {words}\n  at {place}, input in {name}", target.name);
            self.by_place.insert(place, input.to_vec());
        }
        false
    }
}

/// Adds to the minutes since the last finding, and to the inputs tried.
fn add_to_table(file: &Path, name: &str, minutes: f64, report: &Report) -> std::io::Result<()> {
    const HEAD: &str = "target\tminutes since the last finding\tinputs in these\tedges reached\n";
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines: BTreeMap<String, (f64, u64, usize)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split('\t');
        let target = fields.next().unwrap_or_default().to_owned();
        let minutes = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        let inputs = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        lines.insert(target, (minutes, inputs, fields.next().and_then(|text| text.parse().ok()).unwrap_or(0)));
    }
    let (before, inputs, _) = lines.get(name).copied().unwrap_or_default();
    let now = if report.findings == 0 {
        (before + minutes, inputs + report.inputs, report.edges)
    } else {
        (0.0, 0, report.edges)
    };
    lines.insert(name.to_owned(), now);
    let rows =
        lines.iter().map(|(target, (minutes, inputs, edges))| format!("{target}\t{minutes:.1}\t{inputs}\t{edges}\n"));
    fs::write(file, HEAD.to_owned() + &rows.collect::<String>())
}
