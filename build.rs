//! Lets the linker put together what a serving daemon runs, as `packaging/order.ld` has it (scripts/order writes that): else each
//! page of the program that is touched brings 15 of its neighbours into memory, and most of those are never run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ORDER: &str = "packaging/order.ld";

fn main() {
    println!("cargo::rerun-if-changed={ORDER}");
    let Some(order) = env::var_os("CARGO_MANIFEST_DIR").map(|root| PathBuf::from(root).join(ORDER)) else { return };
    let is_wanted = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // It is a matter of size alone: a linker that cannot do it does without.
    if is_wanted && links_with(&order).unwrap_or(false) {
        for word in ["-T", &order.to_string_lossy()] {
            println!("cargo::rustc-link-arg-bin=beamroute={word}");
        }
    }
}

/// Whether the linker takes such a script: tried, because linkers are many.
fn links_with(order: &Path) -> Option<bool> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let source = out.join("probe.rs");
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut probe = Command::new(env::var_os("RUSTC")?);
    probe.arg("--target").arg(env::var_os("TARGET")?).arg("-o").arg(out.join("probe")).arg(source);
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        probe.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        probe.arg(format!("-Clinker={linker}"));
    }
    probe.arg("-Clink-arg=-T").arg(format!("-Clink-arg={}", order.display()));
    Some(probe.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?.success())
}
