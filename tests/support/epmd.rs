//! A port mapper of our own, on a port of its own.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::{Process, eventually, have, output, port};

/// Where nodes find each other: the value of `ERL_EPMD_PORT`.
#[derive(Debug, Clone, Copy)]
pub struct Place(pub u16);

impl Place {
    /// A port that nobody listens on.
    pub fn free() -> Self {
        Self(port::free())
    }

    /// Makes `command` look here for its epmd.
    pub fn tell(self, command: &mut Command) -> &mut Command {
        command.env("ERL_EPMD_PORT", self.0.to_string()).env_remove("ERL_EPMD_ADDRESS")
    }

    /// What `epmd -names` prints.
    pub fn names(self) -> String {
        output(self.tell(Command::new("epmd").arg("-names")))
    }

    pub fn is_served(self) -> bool {
        TcpStream::connect(("127.0.0.1", self.0)).is_ok()
    }
}

/// OTP's `epmd` in the foreground.
pub struct Epmd {
    process: Process,
    place: Place,
}

impl Epmd {
    pub fn start() -> Option<Self> {
        have("epmd").then(|| Self::start_at(Place::free()))
    }

    pub fn start_at(place: Place) -> Self {
        let epmd = Self::start_at_once(place);
        eventually("epmd listens", || place.is_served());
        epmd
    }

    /// As [`Epmd::start_at`], without looking whether it could have the port.
    pub fn start_at_once(place: Place) -> Self {
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &place.0.to_string()]);
        let process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        Self { process, place }
    }

    pub const fn place(&self) -> Place {
        self.place
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }
}
