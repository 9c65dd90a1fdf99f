//! What this program is: version, commit, features.

use std::sync::LazyLock;

/// The version alone.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The features that can be built in.
const FEATURES: [(&str, bool); 1] = [("tls", cfg!(feature = "tls"))];

/// What `--version` says after the program's name. The commit is known to release builds from a git repository (build.rs).
#[must_use]
pub fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(written);
    &LONG
}

fn written() -> String {
    let commit = option_env!("BEAMROUTE_COMMIT").map_or_else(String::new, |commit| format!(" ({commit})"));
    format!("{VERSION}{commit}\nfeatures: {}", features())
}

fn features() -> String {
    let built: Vec<_> = FEATURES.iter().filter(|(_, is_built)| *is_built).map(|(name, _)| *name).collect();
    if built.is_empty() { "none".to_owned() } else { built.join(", ") }
}
