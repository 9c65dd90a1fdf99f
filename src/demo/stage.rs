//! Everything that runs during the demo, started in order and stopped in order.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::time::Instant;

use super::Options;
use super::client::{Client, Target};
use super::echo::{Prober, Way};
use super::kernel::Kernel;
use super::network::{Network, UPLINKS};
use super::scratch::Scratch;
use crate::config::{self, Config, HostName, Surroundings};
use crate::epmd::EpmdMode;
use crate::node::StartError;
use crate::service::{Service, ServiceError};

/// The name of the node that serves `route_manager`.
pub const NODE: &str = "beamroute_demo@127.0.0.1";

/// What runs. Dropped without [`Stage::strike`], all of it ends less politely.
pub struct Stage {
    /// When we began.
    pub began: Instant,
    /// The device and its gateways.
    pub network: Network,
    /// What the kernel has there.
    pub kernel: Kernel,
    /// Which way packets go there.
    pub prober: Prober,
    /// Who makes the calls.
    pub client: Client,
    /// The daemon.
    pub service: Service,
    /// The port of its epmd.
    pub epmd_port: u16,
    _scratch: Scratch,
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// What did not start, and why.
    pub async fn set(options: Options) -> Result<Self> {
        let began = Instant::now();
        let scratch = Scratch::new()?;
        let network = Network::build().await?;
        let mut prober = Prober::open(&network.device())?;
        wait_for_gateways(&mut prober).await?;
        let (service, config) = start_service(options, &network.device(), &scratch).await?;
        let target = Target {
            node: NODE.into(),
            address: service.address(),
            epmd_port: config.epmd_port,
            cookie: config.cookie.read()?,
            home: (!options.keep).then(|| scratch.path().to_path_buf()),
        };
        let client = Client::start(options.client, &target).await?;
        let kernel = Kernel::open(&network.device())?;
        let epmd_port = config.epmd_port;
        Ok(Self { began, network, kernel, prober, client, service, epmd_port, _scratch: scratch })
    }

    /// Stops everything.
    pub async fn strike(self) {
        self.client.stop().await;
        self.service.stop().await;
    }
}

/// Starts the daemon. The port of its epmd was free a moment ago; should it not be any more, another is taken.
async fn start_service(options: Options, device: &Path, scratch: &Scratch) -> Result<(Service, Config)> {
    if !options.keep {
        scratch.make_cookie()?;
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        let config = config(options, device, scratch)?;
        match Service::start(config.clone()).await {
            Err(ServiceError::Node(StartError::Epmd(error))) if attempts < 3 => {
                tracing::debug!(%error, "another port for epmd")
            }
            started => return Ok((started?, config)),
        }
    }
}

/// The daemon's configuration. Neither the environment nor `/etc` has a say in it, except for where the user's cookie is
/// with `--keep`.
fn config(options: Options, device: &Path, scratch: &Scratch) -> Result<Config> {
    let flags = config::Options {
        name: Some(NODE.into()),
        epmd: Some(EpmdMode::Embedded),
        netns: Some(device.display().to_string().parse().map_err(|reason: String| anyhow!(reason))?),
        state_dir: Some(scratch.path().join("state")),
        cookie_file: (!options.keep).then(|| scratch.path().join(".erlang.cookie")),
        ..config::Options::default()
    };
    let of_home = ["HOME", "XDG_CONFIG_HOME"].into_iter();
    let mut variables: BTreeMap<_, _> =
        of_home.filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
    variables.insert("ERL_EPMD_PORT".into(), free_port()?.to_string().into());
    let default_file = scratch.path().join("no-such-file");
    let around = Surroundings { variables, host: HostName::of_this_host(), default_file };
    Config::resolve(flags, None, &around).context("the demo's own configuration")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Before any of our routes is there, each gateway must answer on its own link.
async fn wait_for_gateways(prober: &mut Prober) -> Result<()> {
    for uplink in UPLINKS {
        let until = Instant::now() + LINK_PATIENCE;
        while !matches!(prober.probe(uplink.gateway).await?, Way::By(by, _) if by == uplink) {
            if Instant::now() > until {
                bail!("the gateway {} behind {} does not answer", uplink.gateway, uplink.ifname);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

const LINK_PATIENCE: Duration = Duration::from_secs(3);
