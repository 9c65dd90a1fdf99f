//! Whether systemd-networkd removes other programs' routes and rules here, which it does unless told otherwise:
//! `ManageForeignRoutes=` and `ManageForeignRoutingPolicyRules=` of networkd.conf(5).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What decides whether it removes routes, and rules.
const SETTINGS: [&str; 2] = ["ManageForeignRoutes", "ManageForeignRoutingPolicyRules"];

/// Where its configuration lies, what counts most first.
const DIRECTORIES: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

/// It writes this as long as it runs; the directory is there without it (tmpfiles.d).
const RUNNING: &str = "run/systemd/netif/state";

/// A sentence to warn with, if it runs under `root` and removes what is ours.
pub(super) fn warning(root: &Path) -> Option<String> {
    if !root.join(RUNNING).exists() {
        return None;
    }
    let values = settings(root);
    let is_harmless = |setting: &&str| values.get(*setting).is_some_and(|(value, _)| *value == Some(false));
    let harmful: Vec<&str> = SETTINGS.iter().filter(|setting| !is_harmless(setting)).copied().collect();
    let first = harmful.first()?;
    let drop_in = PathBuf::from("/etc/systemd/networkd.conf.d/beamroute.conf");
    let file = values.get(*first).map_or(drop_in, |(_, file)| file.clone());
    let lines: Vec<String> = harmful.iter().map(|setting| format!("{setting}=no")).collect();
    Some(format!(
        "systemd-networkd runs and removes other programs' routes or rules, ours too; write {} under [Network] in {}, \
         and restart it",
        lines.join(" and "),
        file.display()
    ))
}

/// The values that hold (`None` for one that is no boolean), and the files that say so.
fn settings(root: &Path) -> BTreeMap<&'static str, (Option<bool>, PathBuf)> {
    let mut values = BTreeMap::new();
    for file in files(root) {
        let text = fs::read(root.join(&file)).unwrap_or_default();
        read(&String::from_utf8_lossy(&text), |setting, value| {
            values.insert(setting, (value, Path::new("/").join(&file)));
        });
    }
    values
}

/// The files that count, below the root, the decisive one last: the first `networkd.conf`, then all drop-ins by name, of
/// which those in a more important directory hide those of the same name in others.
fn files(root: &Path) -> Vec<PathBuf> {
    let main = DIRECTORIES.iter().map(|dir| Path::new(dir).join("networkd.conf")).find(|file| root.join(file).exists());
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for dir in DIRECTORIES.map(|dir| Path::new(dir).join("networkd.conf.d")) {
        for entry in fs::read_dir(root.join(&dir)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "conf") {
                drop_ins.entry(name.clone()).or_insert_with(|| dir.join(name));
            }
        }
    }
    main.into_iter().chain(drop_ins.into_values()).collect()
}

/// Calls `found` for each line that is about one of [`SETTINGS`].
fn read(text: &str, mut found: impl FnMut(&'static str, Option<bool>)) {
    let mut is_network = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_network = line == "[Network]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_network) else { continue };
        if let Some(setting) = SETTINGS.iter().find(|setting| **setting == key.trim()) {
            found(setting, boolean(value.trim()));
        }
    }
}

/// `parse_boolean` of systemd.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH_OFF: &str = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules = off\n";

    fn check(files: &[(&str, &str)]) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        warning(root.path())
    }

    #[test]
    fn only_while_it_runs() {
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("run/systemd/netif/leases/2", "")]), None);
        let warning = check(&[(RUNNING, "")]).unwrap();
        assert_eq!(
            warning,
            "systemd-networkd runs and removes other programs' routes or rules, ours too; write ManageForeignRoutes=no \
             and ManageForeignRoutingPolicyRules=no under [Network] in /etc/systemd/networkd.conf.d/beamroute.conf, and \
             restart it"
        );
    }

    #[test]
    fn what_counts_is_what_systemd_would_read() {
        let main = "usr/lib/systemd/networkd.conf";
        let says = |files: &[(&str, &str)]| check(&[&[(RUNNING, "")], files].concat());
        assert_eq!(says(&[(main, BOTH_OFF)]), None);
        // Not in that section, not a setting, not a boolean.
        for text in [
            "[DHCPv4]\nManageForeignRoutes=no",
            "[Network]\n#ManageForeignRoutes=no",
            "[Network]\nManageForeignRoutes=maybe",
        ] {
            assert!(says(&[(main, BOTH_OFF), ("etc/systemd/networkd.conf", text)]).is_some(), "{text}");
        }
        // A drop-in decides, the last by name; the same name in /etc hides one in /usr.
        let on = "[Network]\nManageForeignRoutingPolicyRules=yes\n";
        let warning = says(&[(main, BOTH_OFF), ("run/systemd/networkd.conf.d/50-x.conf", on)]).unwrap();
        assert!(warning.contains("write ManageForeignRoutingPolicyRules=no under"), "{warning}");
        assert!(warning.contains("in /run/systemd/networkd.conf.d/50-x.conf,"), "{warning}");
        let drop_ins =
            [("usr/lib/systemd/networkd.conf.d/50-x.conf", on), ("etc/systemd/networkd.conf.d/50-x.conf", BOTH_OFF)];
        assert_eq!(says(&drop_ins), None);
        let later =
            [("etc/systemd/networkd.conf.d/10.conf", on), ("usr/lib/systemd/networkd.conf.d/20.conf", BOTH_OFF)];
        assert_eq!(says(&later), None);
        assert!(says(&[("etc/systemd/networkd.conf.d/x.conf.bak", BOTH_OFF)]).is_some());
    }
}
