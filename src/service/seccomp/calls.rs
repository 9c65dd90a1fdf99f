//! The calls, by what they are for. `libc` has their numbers.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::config::Seccomp;

/// What to apply, in this order.
///
/// The first makes `clone3` unknown, as on an old kernel: its flags lie in memory, where no filter sees them, and then
/// libc takes `clone`. What is stricter wins, so the second may allow it.
pub(super) fn programs(mode: Seccomp) -> Result<[BpfProgram; 2], BackendError> {
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let others = match mode {
        Seccomp::Enforce => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        Seccomp::Off | Seccomp::Log => SeccompAction::Log,
    };
    Ok([
        SeccompFilter::new(clone3, SeccompAction::Allow, unknown, ARCH)?.try_into()?,
        SeccompFilter::new(allowed()?, others, SeccompAction::Allow, ARCH)?.try_into()?,
    ])
}

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// A call without rules is allowed; with rules, if one of them fits.
fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FREELY.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(FREELY_ON_X86_64.iter().map(|call| (*call, Vec::new())));
    for family in FAMILIES {
        allow(&mut rules, libc::SYS_socket, 0, Eq, family)?;
    }
    allow(&mut rules, libc::SYS_socketpair, 0, Eq, libc::AF_UNIX)?;
    // Threads of ours, in our own namespaces: no process, which is the way to another program.
    allow(&mut rules, libc::SYS_clone, 0, MaskedEq(bits(libc::CLONE_THREAD | NEW_NAMESPACES)), libc::CLONE_THREAD)?;
    for (call, flags) in OPEN {
        allow(&mut rules, *call, *flags, MaskedEq(bits(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC)), 0)?;
        allow(&mut rules, *call, *flags, MaskedEq(bits(libc::O_APPEND | libc::O_TRUNC)), libc::O_APPEND)?;
    }
    for request in IOCTLS {
        allow(&mut rules, libc::SYS_ioctl, 1, Eq, libc::c_int::try_from(request).unwrap_or_default())?;
    }
    allow(&mut rules, libc::SYS_prctl, 0, Eq, libc::PR_SET_NAME)?;
    // To ask for a limit, not to set one.
    let asks = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![asks])?]);
    // abort(3) and the like, of our own threads only.
    let ourselves = libc::c_int::try_from(std::process::id()).unwrap_or_default();
    allow(&mut rules, libc::SYS_tgkill, 0, Eq, ourselves)?;
    Ok(rules)
}

/// One more case in which `call` is allowed: what `operator` and `value` say of its argument.
fn allow(
    rules: &mut BTreeMap<i64, Vec<SeccompRule>>,
    call: i64,
    argument: u8,
    operator: seccompiler::SeccompCmpOp,
    value: libc::c_int,
) -> Result<(), BackendError> {
    let condition = SeccompCondition::new(argument, Dword, operator, bits(value))?;
    rules.entry(call).or_default().push(SeccompRule::new(vec![condition])?);
    Ok(())
}

fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

const FAMILIES: [libc::c_int; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_UNIX];

const NEW_NAMESPACES: libc::c_int = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// With the place of their flags. musl has `open` where there is one.
#[cfg(target_arch = "x86_64")]
const OPEN: &[(i64, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
#[cfg(target_arch = "aarch64")]
const OPEN: &[(i64, u8)] = &[(libc::SYS_openat, 2)];

/// glibc's `rename` on aarch64, for which `libc` has no name (`include/uapi/asm-generic/unistd.h`).
#[cfg(target_arch = "aarch64")]
const RENAMEAT: i64 = 38;
#[cfg(target_arch = "x86_64")]
const RENAMEAT: i64 = libc::SYS_renameat;

/// Non-blocking mode, close-on-exec, whether it is a terminal, what waits to be read and to be sent.
const IOCTLS: [libc::Ioctl; 5] = [libc::FIONBIO, libc::FIOCLEX, libc::TCGETS, libc::FIONREAD, libc::TIOCOUTQ];

const FREELY: &[i64] = &[
    // Memory. Executable as well: libc loads what looks up names (nsswitch.conf).
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads, signals, the end.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // Open files of all kinds.
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Names of files, and the saved state.
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_flock,
    libc::SYS_fstatfs,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    RENAMEAT,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    // Sockets, once there are any.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Who and where we are.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// The older names of some of these, which musl and glibc still use there.
#[cfg(target_arch = "x86_64")]
const FREELY_ON_X86_64: &[i64] = &[
    libc::SYS_access,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_unlink,
];

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Write as _};
    use std::os::fd::AsFd as _;
    use std::process::Command;

    use nix::errno::Errno;
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, setns, unshare};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use nix::unistd::execv;

    use super::*;
    use crate::service::seccomp::calls;

    type Attempt = (&'static str, fn() -> Result<(), Errno>);

    /// What an intruder would want, in a form that fails for another reason without the filter, whoever runs the tests.
    const REFUSED: [Attempt; 10] = [
        ("a process", || io_result(Command::new("/no/such/program").status())),
        ("execve", || execv(c"/no/such/program", &[c"program"]).map(drop)),
        ("mount", || mount(None::<&str>, "/no/such/place", Some("tmpfs"), MsFlags::empty(), None::<&str>)),
        ("setns", || setns(io::stdin().as_fd(), CloneFlags::CLONE_NEWNET)),
        ("unshare", || unshare(CloneFlags::from_bits_retain(libc::CLONE_THREAD | libc::CLONE_PARENT))),
        ("socket of another family", || {
            socket(AddressFamily::Ax25, SockType::Stream, SockFlag::empty(), None).map(drop)
        }),
        ("to truncate a file", || io_result(OpenOptions::new().write(true).truncate(true).open("/no/such/file"))),
        ("to make a file", || io_result(File::create_new("/no/such/dir/file"))),
        ("to write where one likes", || io_result(OpenOptions::new().write(true).open("/no/such/file"))),
        ("chmod", || {
            nix::sys::stat::fchmodat(
                nix::fcntl::AT_FDCWD,
                "/no/such/file",
                nix::sys::stat::Mode::empty(),
                nix::sys::stat::FchmodatFlags::FollowSymlink,
            )
        }),
    ];

    fn io_result<T>(result: io::Result<T>) -> Result<(), Errno> {
        result.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
    }

    /// On a thread of its own, which alone is filtered.
    fn filtered<T: Send + 'static>(mode: Seccomp, work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(move || {
            for program in calls::programs(mode).unwrap() {
                seccompiler::apply_filter(&program).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    }

    fn attempts() -> Vec<(&'static str, Result<(), Errno>)> {
        REFUSED.iter().map(|(name, attempt)| (*name, attempt())).collect()
    }

    #[test]
    fn what_the_daemon_has_no_use_for_is_refused() {
        for (name, without) in attempts() {
            assert!(!matches!(without, Ok(()) | Err(Errno::EPERM)), "{name} tells nothing here: {without:?}");
        }
        for (name, result) in filtered(Seccomp::Enforce, attempts) {
            assert_eq!(result, Err(Errno::EPERM), "{name}");
        }
    }

    #[test]
    fn what_is_only_logged_is_done() {
        assert_eq!(filtered(Seccomp::Log, attempts), attempts());
    }

    #[test]
    fn what_it_needs_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        filtered(Seccomp::Enforce, move || {
            OpenOptions::new().append(true).create_new(true).open(&old).unwrap().write_all(b"state").unwrap();
            std::fs::rename(&old, &new).unwrap();
            assert_eq!(std::fs::read(&new).unwrap(), b"state");
            std::thread::spawn(|| {}).join().unwrap();
            let name = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), None).unwrap();
            drop(name);
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        });
    }
}
