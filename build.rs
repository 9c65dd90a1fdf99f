//! Tells the program its commit, if there is one to tell: a crate package has no repository, and a machine may have no git.
//!
//! Only for release builds: in others, every commit would mean to build all of it again.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let Some(root) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|_| is_release) else { return };
    let Some(top) = git(&root, &["rev-parse", "--show-toplevel"]) else { return };
    // A package that lies in somebody else's repository is not of its commits.
    if Path::new(&top).canonicalize().ok() != root.canonicalize().ok() {
        return;
    }
    let Some(commit) = git(&root, &["rev-parse", "--short=12", "HEAD"]) else { return };
    let is_dirty =
        git(&root, &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    println!("cargo::rustc-env=BEAMROUTE_COMMIT={commit}{}", if is_dirty { ", changed" } else { "" });
    // All that says which commit it is, and what may have changed since.
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) =
            git(&root, &["rev-parse", "--git-path", name]).map(|path| root.join(path)).filter(|p| p.exists())
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
