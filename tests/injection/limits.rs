//! A limit on the daemon's memory: by a control group (version 2) where one can be made, else on its address space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::Scene;
use crate::support::{output, serial};

pub enum MemoryLimit {
    /// Whoever goes beyond is killed by the kernel.
    Group(Group),
    /// Whoever goes beyond gets no memory, and aborts.
    AddressSpace,
}

/// A control group, gone when dropped.
pub struct Group(PathBuf);

/// Where version 2 is, if it is there alone.
const GROUPS: &str = "/sys/fs/cgroup";

impl MemoryLimit {
    /// The daemon may have `kib` more than it has now.
    pub fn set(scene: &mut Scene, kib: u64) -> Self {
        let pid = scene.daemon().pid;
        let bytes = (scene.memory("VmRSS:") + kib) << 10;
        if let Some(group) = Group::with(pid, bytes) {
            return Self::Group(group);
        }
        let bytes = (scene.memory("VmSize:") + kib) << 10;
        output(Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--as={bytes}:")]));
        Self::AddressSpace
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "memory.max of a cgroup",
            Self::AddressSpace => "RLIMIT_AS (no cgroup v2 with memory)",
        }
    }

    /// Takes it from whichever daemon runs now.
    pub fn lift(self, scene: &mut Scene) {
        let pid = scene.daemon().pid.to_string();
        match self {
            Self::Group(group) => drop(group),
            Self::AddressSpace => _ = output(Command::new("prlimit").args(["--pid", &pid, "--as=unlimited:"])),
        }
    }
}

impl Group {
    /// Moves the process into a new group.
    fn with(pid: i32, bytes: u64) -> Option<Self> {
        let controllers = fs::read_to_string(Path::new(GROUPS).join("cgroup.subtree_control")).ok()?;
        if !controllers.split_whitespace().any(|controller| controller == "memory") {
            return None;
        }
        let path = Path::new(GROUPS).join(format!("beamroute-faults-{}-{}", std::process::id(), serial()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.max"), bytes.to_string()).ok()?;
        // Without this, what is too much goes to the swap.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group must be empty to go: back to where we are, and it was.
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let ours = ours.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let left = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            let _ = fs::write(Path::new(GROUPS).join(ours).join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}
