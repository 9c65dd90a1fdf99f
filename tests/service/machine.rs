//! A machine with a real systemd as process 1, in namespaces of its own (`machine.sh`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::support::{Lines, Process, have, repository, serial, skip, within};

const SYSTEMD: &str = "lib/systemd/systemd";

pub struct Machine {
    _process: Process,
    log: Lines,
    /// Process 1, as seen from here.
    init: i32,
    cgroup: PathBuf,
    _dir: tempfile::TempDir,
}

impl Machine {
    /// Starts it with the files of `system`, or says why it cannot. If that is `/`, none of its units is there.
    pub fn start(system: &Path) -> Option<Self> {
        if !geteuid().is_root() || !system.join(SYSTEMD).exists() {
            skip(&format!("not root, or no systemd in {}: the unit is not started for real", system.display()));
            return None;
        }
        if !have("unshare") || !have("nsenter") || !have("ip") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // That of version 2, of which newer systemds know alone, beside those of version 1 or without them.
        let hierarchy = Path::new("/sys/fs/cgroup/unified");
        let hierarchy = if hierarchy.is_dir() { hierarchy } else { Path::new("/sys/fs/cgroup") };
        let cgroup = hierarchy.join(format!("beamroute-test-{}-{}", std::process::id(), serial()));
        if let Err(error) = fs::create_dir(&cgroup) {
            skip(&format!("no control group for a systemd: {error}"));
            return None;
        }
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]).arg(&cgroup);
        command.args(["unshare", "--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child"]);
        command.arg("bash").arg(repository("tests/service/machine.sh")).args([dir.path(), system, &repository("")]);
        let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let log = Lines::read(process.0.stderr.take().unwrap());
        let mut machine = Self { init: 0, _process: process, log, cgroup, _dir: dir };
        let is_up = within(Duration::from_secs(20), || {
            machine.find_init();
            machine.init != 0 && machine.is_up()
        });
        if !is_up {
            skip(&format!("systemd does not start in a namespace here: {}", machine.log.text()));
            return None;
        }
        Some(machine)
    }

    /// Kernel modules cannot be loaded there, which one of Debian's units wants.
    fn is_up(&self) -> bool {
        let said = self.run("systemctl", &["is-system-running"]).stdout;
        ["running", "degraded"].contains(&String::from_utf8_lossy(&said).trim())
    }

    fn find_init(&mut self) {
        let pid = self._process.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        self.init = children.split_whitespace().next().map_or(0, |child| child.parse().unwrap());
    }

    /// Puts the daemon and the unit in place, without a package.
    pub fn install(&self) {
        for dir in ["/etc/systemd/system/beamroute.service.d", "/etc/beamroute"] {
            fs::create_dir_all(self.path(dir)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_beamroute"), self.path("/usr/bin/beamroute")).unwrap();
        let unit = self.path("/etc/systemd/system/beamroute.service");
        fs::copy(repository("packaging/beamroute.service"), unit).unwrap();
    }

    /// Runs a program on it.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program, args).output().unwrap()
    }

    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-m", "-p", "-n", "-i", "-u", "-r", "-w", "env", "-i"]);
        command.args(["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", program]).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// The output of what must not fail.
    #[track_caller]
    pub fn output(&self, program: &str, args: &[&str]) -> String {
        let out = self.run(program, args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{program} {args:?}: {text}{error}\n{}", self.log.text());
        text
    }

    pub fn systemctl(&self, args: &[&str]) -> Output {
        self.run("systemctl", args)
    }

    /// A property of the service.
    pub fn show(&self, property: &str) -> String {
        let args = ["show", "beamroute", "--value", "-p", property];
        self.output("systemctl", &args).trim_end().to_owned()
    }

    /// A file on it, as seen from here.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With process 1 all others of its namespace end.
        self._process.kill();
        let is_gone = || remove(&self.cgroup);
        if !within(Duration::from_secs(5), is_gone) {
            eprintln!("left behind: {}", self.cgroup.display());
        }
    }
}

/// Control groups are removed from the innermost on.
fn remove(cgroup: &Path) -> bool {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_empty = entries.filter(|path| path.is_dir()).all(|path| remove(&path));
    is_empty && fs::remove_dir(cgroup).is_ok()
}
