//! Keeps our name registered, with whichever port mapper there is.
//!
//! One task holds the registration and, when it serves, the embedded mapper; [`EpmdHandle`] watches it. With `auto`
//! we register with a running epmd; when none answers, we serve it on that port, and register with ourselves over
//! loopback TCP like everybody. That may also happen later: the mapper that we used goes, nothing answers for
//! [`SILENCE`], and of the nodes that then want the port the kernel lets one have it; the others register there.
//!
//! As a BEAM does (`erl_epmd.erl`): the first creation is kept for good, later ones are ignored, and retries come every
//! 2 s, after a first quick one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::client::{self, EpmdError, Registration, local_epmd};
use super::registry::random_creation;
use super::server::{Server, Serving};

/// Where port mapping comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpmdMode {
    /// Use the epmd that runs; serve it ourselves if none answers.
    #[default]
    Auto,
    /// Use an epmd that somebody else runs, and wait for it.
    External,
    /// Serve it ourselves; fail when the port is in use.
    Embedded,
    /// No epmd: peers must know our port.
    None,
}

impl fmt::Display for EpmdMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EpmdMode::Auto => "auto",
            EpmdMode::External => "external",
            EpmdMode::Embedded => "embedded",
            EpmdMode::None => "none",
        })
    }
}

/// What [`Epmd::start`] needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpmdConfig {
    /// Which mapper to use.
    pub mode: EpmdMode,
    /// Where an embedded mapper listens besides 127.0.0.1 (`ERL_EPMD_ADDRESS`, or the node's own listening addresses).
    pub addresses: Vec<IpAddr>,
    /// The mapper's port (`ERL_EPMD_PORT`).
    pub port: u16,
    /// How much an embedded mapper takes.
    pub limits: super::server::Limits,
}

/// How things stand with the port mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpmdState {
    /// `--epmd none`.
    Disabled,
    /// Not registered at the moment; trying.
    Waiting,
    /// Registered with a mapper that somebody else runs.
    Registered,
    /// We serve the mapper, and are registered with it.
    Serving,
}

/// How long nothing must have answered before `auto` begins to serve; up to half as much is added at random, so that
/// several nodes do not race for the port.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Between attempts to register.
pub const RETRY: Duration = Duration::from_secs(2);
/// The first attempt after a loss.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// How long [`Epmd::start`] waits to learn that the name is taken.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// A node that was killed a moment ago may still hold its name: ask again this often before believing it.
const TAKEN_ATTEMPTS: u32 = 3;

/// The entrance; see [`Epmd::start`].
#[derive(Debug)]
pub struct Epmd;

impl Epmd {
    /// Begins to keep `name` (the part before `@`) registered as listening on `port`.
    ///
    /// Returns as soon as the first attempt is decided, or after two seconds, with attempts going on. A mapper
    /// that is not there is no error: see [`EpmdHandle::state`].
    ///
    /// # Errors
    ///
    /// [`EpmdError::NameTaken`] when another node of that name is registered, [`EpmdError::Name`] for what cannot be a
    /// name, [`EpmdError::Serve`] when the mode is `embedded` and the port cannot be opened.
    pub async fn start(config: EpmdConfig, name: &str, port: u16) -> Result<EpmdHandle, EpmdError> {
        super::codec::check_name(name)?;
        let stop = CancellationToken::new();
        if config.mode == EpmdMode::None {
            let (_, state) = watch::channel(Status::new(EpmdState::Disabled));
            return Ok(EpmdHandle { status: state, stop, task: None, mode: config.mode });
        }
        let serving = match config.mode {
            EpmdMode::Embedded => Some(serve(&config)?),
            _ => None,
        };
        let (status, mut watched) = watch::channel(Status::new(EpmdState::Waiting));
        let (refuse, refused) = oneshot::channel();
        let mode = config.mode;
        let keeper = Keeper {
            epmd: local_epmd(serving.as_ref().map_or(config.port, |serving| serving.port)),
            config,
            name: name.to_owned(),
            port,
            status,
            serving,
            refuse: Some(refuse),
            silent_since: None,
            said_waiting: false,
            said_taken: false,
        };
        let task = tokio::spawn(keeper.run(stop.clone()));
        // From here on, so that whoever loses patience with us ends the task too.
        let handle = EpmdHandle { status: watched.clone(), stop, task: Some(task), mode };
        let decided = async {
            tokio::select! {
                // The refusal first: the task ends with it, and its status as well.
                biased;
                Ok(error) = refused => Err(error),
                _ = watched.wait_for(|status| status.tried) => Ok(()),
            }
        };
        timeout(START_PATIENCE, decided).await.unwrap_or(Ok(()))?;
        Ok(handle)
    }
}

#[derive(Debug, Clone, Copy)]
struct Status {
    state: EpmdState,
    /// An attempt to register has been decided.
    tried: bool,
    creation: Option<u32>,
}

impl Status {
    fn new(state: EpmdState) -> Status {
        Status { state, tried: false, creation: None }
    }
}

/// A registration that is being kept. [`EpmdHandle::stop`] ends it; dropping the handle ends it as well, unawaited.
#[derive(Debug)]
pub struct EpmdHandle {
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    mode: EpmdMode,
}

impl EpmdHandle {
    /// The mode it was started with.
    pub fn mode(&self) -> EpmdMode {
        self.mode
    }

    /// How things stand.
    pub fn state(&self) -> EpmdState {
        self.status.borrow().state
    }

    /// Returns with the new state when it has changed; never, when it cannot change any more.
    pub async fn changed(&mut self) -> EpmdState {
        let before = self.state();
        match self.status.wait_for(|status| status.state != before).await {
            Ok(status) => status.state,
            Err(_) => std::future::pending().await,
        }
    }

    /// The creation of the first registration, waiting for it at most this long. `None`: there is none yet.
    pub async fn first_creation(&mut self, patience: Duration) -> Option<u32> {
        let given = timeout(patience, self.status.wait_for(|status| status.creation.is_some())).await;
        given.ok()?.ok()?.creation
    }

    /// The creation that the node is to use until it ends: the first registration's or, when no mapper gives one in
    /// time, one at random (4 to 2^32-1). To be asked once: creations that mappers give later are ignored, as
    /// BEAMs do.
    pub async fn creation(&mut self, patience: Duration) -> u32 {
        let given = match self.mode {
            EpmdMode::None => None,
            _ => self.first_creation(patience).await,
        };
        // A creation of 0 would mean "any incarnation"; no mapper should give one.
        given.filter(|creation| *creation != 0).unwrap_or_else(random_creation)
    }

    /// Unregisters and, when we serve the mapper, stops it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && task.await.is_err()
        {
            warn!("the task that kept us registered with epmd had crashed");
        }
    }
}

impl Drop for EpmdHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn serve(config: &EpmdConfig) -> Result<Serving, EpmdError> {
    let address = local_epmd(config.port);
    let server = Server::bind(&config.addresses, config.port)
        .map_err(|source| EpmdError::Serve { address, source })?
        .limited(config.limits);
    info!(port = server.port(), "serving epmd for this machine");
    Ok(server.serve())
}

/// The task behind the handle.
struct Keeper {
    config: EpmdConfig,
    epmd: SocketAddr,
    name: String,
    port: u16,
    status: watch::Sender<Status>,
    serving: Option<Serving>,
    /// The way to tell [`Epmd::start`] that the name is taken.
    refuse: Option<oneshot::Sender<EpmdError>>,
    /// Since when nothing has answered.
    silent_since: Option<Instant>,
    said_waiting: bool,
    said_taken: bool,
}

impl Keeper {
    /// Ends by itself only when the name is taken and [`Epmd::start`] is still there to hear it.
    async fn run(mut self, stop: CancellationToken) {
        // When this is dropped, so is the registration: the name is free.
        let _ = stop.run_until_cancelled(self.keep()).await;
        if let Some(serving) = self.serving.take() {
            serving.stop().await;
        }
    }

    async fn keep(&mut self) {
        let mut taken: u32 = 0;
        // How long silence must last before we serve. At first none: nobody has been using this mapper.
        let mut silence = Duration::ZERO;
        loop {
            let delay = match client::register(self.epmd, client::entry(&self.name, self.port)).await {
                Ok(registration) => {
                    self.hold(registration).await;
                    silence = SILENCE.mul_f64(1.0 + rand::random::<f64>() / 2.0);
                    FIRST_RETRY
                }
                Err(error @ EpmdError::NameTaken { .. }) if self.is_starting() => {
                    taken = taken.saturating_add(1);
                    if taken < TAKEN_ATTEMPTS {
                        FIRST_RETRY
                    } else {
                        match self.refuse.take().map(|refuse| refuse.send(error)) {
                            Some(Ok(())) => return,
                            _ => continue,
                        }
                    }
                }
                Err(error) => self.failed(&error, silence),
            };
            sleep(delay).await;
        }
    }

    /// Whether [`Epmd::start`] is still waiting for a verdict.
    fn is_starting(&self) -> bool {
        self.refuse.as_ref().is_some_and(|refuse| !refuse.is_closed())
    }

    async fn hold(&mut self, mut registration: Registration) {
        let (creation, epmd) = (registration.creation, self.epmd);
        let state = if self.serving.is_some() { EpmdState::Serving } else { EpmdState::Registered };
        if self.said_waiting {
            info!(name = %self.name, %epmd, "registered with epmd");
        } else {
            debug!(name = %self.name, %epmd, creation, "registered with epmd");
        }
        (self.silent_since, self.said_waiting, self.said_taken) = (None, false, false);
        self.status.send_modify(|status| {
            (status.state, status.tried) = (state, true);
            status.creation.get_or_insert(creation);
        });
        registration.lost().await;
        self.status.send_modify(|status| status.state = EpmdState::Waiting);
        warn!(name = %self.name, %epmd, "epmd has gone; registering again as soon as one answers");
        self.said_waiting = true;
    }

    /// What to do after an attempt that failed: how long until the next.
    fn failed(&mut self, error: &EpmdError, silence: Duration) -> Duration {
        let epmd = self.epmd;
        debug!(%error, "not registered with epmd");
        if matches!(error, EpmdError::NameTaken { .. }) {
            if !std::mem::replace(&mut self.said_taken, true) {
                warn!(name = %self.name, %epmd, "epmd has another node of our name; trying until it has gone");
            }
            self.silent_since = None;
            return RETRY;
        }
        let silent_for = self.silent_since.get_or_insert_with(Instant::now).elapsed();
        let may_serve = match self.config.mode {
            EpmdMode::Auto => silent_for >= silence,
            // The port was ours; have it back as soon as it can be had.
            EpmdMode::Embedded => true,
            EpmdMode::External | EpmdMode::None => false,
        };
        if may_serve && self.try_to_serve(error) {
            return Duration::ZERO;
        }
        if !std::mem::replace(&mut self.said_waiting, true) {
            info!(%epmd, %error, "waiting for epmd; the node works without");
        }
        self.status.send_modify(|status| status.tried = true);
        match self.config.mode {
            // Sooner than the others do, so as not to add a whole interval to the silence.
            EpmdMode::Auto => RETRY.min(silence.saturating_sub(silent_for)).max(FIRST_RETRY),
            _ => RETRY,
        }
    }

    /// Opens the port and serves it; false when that is not possible, for instance because another node was quicker.
    fn try_to_serve(&mut self, error: &EpmdError) -> bool {
        if let Some(serving) = &self.serving {
            if !serving.is_dead() {
                // It is there; whatever went wrong with one question may go right with the next.
                return false;
            }
            warn!(%error, "the embedded epmd has stopped; starting it again");
            self.serving = None;
        }
        match serve(&self.config) {
            Ok(serving) => {
                self.epmd = local_epmd(serving.port);
                self.serving = Some(serving);
                true
            }
            Err(error) => {
                debug!(%error, "cannot serve epmd");
                false
            }
        }
    }
}
