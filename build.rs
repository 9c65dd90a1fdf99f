//! Tells the program its commit, and the linker which functions stand together. Only for release builds: in others, every commit
//! would mean to build all of it again.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a serving daemon runs; scripts/order writes it.
const ORDER: &str = "packaging/order.ld";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let Some(root) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|_| is_release) else { return };
    link(&root.join(ORDER));
    tell_commit(&root);
}

/// What only makes the program smaller in memory: a linker that cannot do it does without.
fn link(order: &Path) {
    let is_native = env::var_os("HOST") == env::var_os("TARGET");
    // Each page that is touched brings 15 of its neighbours into memory, most of which would never be run.
    let order = ["-T", &order.to_string_lossy()];
    // Else the start reads 200 KiB of relocations. Before 2.36, glibc cannot read these, so it has to be tried.
    let relocations = ["-z", "pack-relative-relocs"];
    for (words, can_be_asked_for) in [(order, true), (relocations, is_native)] {
        if can_be_asked_for && links_with(words, is_native).unwrap_or(false) {
            words.iter().for_each(|word| println!("cargo::rustc-link-arg-bin=beamroute={word}"));
        }
    }
}

/// Whether the linker takes these words, and what comes of it runs, if that can be tried: linkers are many, and some may take a
/// script in place of their own.
fn links_with(words: [&str; 2], is_native: bool) -> Option<bool> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let (source, program) = (out.join("probe.rs"), out.join("probe"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut probe = Command::new(env::var_os("RUSTC")?);
    probe.arg("--target").arg(env::var_os("TARGET")?).arg("-o").arg(&program).arg(source);
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        probe.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        probe.arg(format!("-Clinker={linker}"));
    }
    probe.args(words.map(|word| format!("-Clink-arg={word}")));
    let succeeds = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    Some(succeeds(&mut probe) && (!is_native || succeeds(&mut Command::new(program))))
}

/// If there is one to tell: a crate package has no repository, and a machine may have no git.
fn tell_commit(root: &Path) {
    let Some(top) = git(root, &["rev-parse", "--show-toplevel"]) else { return };
    // A package that lies in somebody else's repository is not of its commits.
    if Path::new(&top).canonicalize().ok() != root.canonicalize().ok() {
        return;
    }
    let Some(commit) = git(root, &["rev-parse", "--short=12", "HEAD"]) else { return };
    let is_dirty =
        git(root, &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    println!("cargo::rustc-env=BEAMROUTE_COMMIT={commit}{}", if is_dirty { ", changed" } else { "" });
    // All that says which commit it is, and what may have changed since.
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) =
            git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path)).filter(|p| p.exists())
        {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    println!("cargo::rerun-if-changed=src");
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.trim_end().to_owned())
}
