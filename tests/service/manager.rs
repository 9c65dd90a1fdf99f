//! The service manager's end of `NOTIFY_SOCKET`.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, eventually, serial};

/// A message, and when it came.
#[derive(Debug, Clone)]
pub struct Told {
    pub text: String,
    pub at: Instant,
}

/// Keeps what it is told.
pub struct Manager {
    /// The value of `NOTIFY_SOCKET`.
    pub address: String,
    told: Arc<Mutex<Vec<Told>>>,
    _dir: tempfile::TempDir,
}

impl Manager {
    /// With a socket in the file system, for everybody to write to, as systemd's is.
    pub fn at_path() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let everybody = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(dir.path(), everybody(0o755)).unwrap();
        std::fs::set_permissions(&path, everybody(0o777)).unwrap();
        Self::listen(path.display().to_string(), socket, dir)
    }

    /// With a socket in the abstract namespace.
    pub fn abstract_name() -> Self {
        let name = format!("beamroute-notify-{}-{}", std::process::id(), serial());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self::listen(format!("@{name}"), socket, tempfile::tempdir().unwrap())
    }

    fn listen(address: String, socket: UnixDatagram, dir: tempfile::TempDir) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::downgrade(&told);
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(kept) = kept.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                    kept.lock().unwrap().push(Told { text, at: Instant::now() });
                }
            }
        });
        Self { address, told, _dir: dir }
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// All that is not food for the watchdog.
    pub fn words(&self) -> Vec<String> {
        self.told().into_iter().map(|told| told.text).filter(|text| text != "WATCHDOG=1").collect()
    }

    /// Waits until it has been told something of which `is_it` holds, and gives the first.
    #[track_caller]
    pub fn hears(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Told {
        let find = || self.told().into_iter().find(|told| is_it(&told.text));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(told) = find() {
                return told;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never told {what}: {:#?}", self.words());
    }

    pub fn forget(&self) {
        self.told.lock().unwrap().clear();
    }

    pub fn is_quiet_for(&self, time: Duration) {
        let count = self.told().len();
        std::thread::sleep(time);
        eventually("it is quiet", || self.told().len() == count);
    }
}
