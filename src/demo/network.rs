//! The private network: a device with three interfaces, and behind each a gateway in a namespace of its own.
//!
//! ```text
//!            ┌ eth0 ──── 192.168.1.1 gateway ┐
//!     device ┼ wlan0 ─── 10.0.0.1    gateway ┼ 198.51.100.1, "the Internet"
//!            └ wwan0 ─── 100.64.0.1  gateway ┘
//! ```
//!
//! Each gateway answers for the Internet address itself, so that the interface by which an answer comes tells who gave
//! it. Namespaces are held by open files only: they vanish with this process, however it ends.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::privilege::NotAllowed;
use crate::netlink;

/// The address that every gateway answers for (TEST-NET-2, RFC 5737).
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// An interface of the device, and what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uplink {
    /// The interface.
    pub ifname: &'static str,
    /// The device's address there.
    pub address: Ipv4Addr,
    /// The gateway's.
    pub gateway: Ipv4Addr,
}

/// The prefix length of all three networks.
pub const PREFIX_LEN: u8 = 24;

/// The interface that loses the Internet in the story.
pub const ETH0: Uplink =
    Uplink { ifname: "eth0", address: Ipv4Addr::new(192, 168, 1, 50), gateway: Ipv4Addr::new(192, 168, 1, 1) };
/// The interface that takes over.
pub const WLAN0: Uplink =
    Uplink { ifname: "wlan0", address: Ipv4Addr::new(10, 0, 0, 50), gateway: Ipv4Addr::new(10, 0, 0, 1) };
/// The interface of last resort.
pub const WWAN0: Uplink =
    Uplink { ifname: "wwan0", address: Ipv4Addr::new(100, 64, 0, 50), gateway: Ipv4Addr::new(100, 64, 0, 1) };
/// All three.
pub const UPLINKS: [Uplink; 3] = [ETH0, WLAN0, WWAN0];

/// The device and its gateways. All is gone when this is dropped.
#[derive(Debug)]
pub struct Network {
    device: Namespace,
    gateways: Vec<(Uplink, Namespace)>,
}

impl Network {
    /// Makes and wires everything; needs a tokio runtime.
    ///
    /// # Errors
    /// [`NotAllowed`] where namespaces are not to be had; anything else is the kernel's refusal.
    pub async fn build() -> Result<Self> {
        let device = Namespace::new()?;
        device.up(LOOPBACK).await?;
        let mut gateways = Vec::new();
        for (uplink, ifindex) in UPLINKS.into_iter().zip(FIRST_IFINDEX..) {
            let gateway = Namespace::new()?;
            let wired = wire(uplink, ifindex, &device, &gateway).await;
            wired.with_context(|| format!("cannot make {} and its gateway", uplink.ifname))?;
            gateways.push((uplink, gateway));
        }
        Ok(Self { device, gateways })
    }

    /// The file of the namespace where the routes are.
    #[must_use]
    pub fn device(&self) -> PathBuf {
        self.device.path()
    }

    /// Takes the Internet away from behind `uplink`, or gives it back.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn set_internet(&self, uplink: Uplink, is_there: bool) -> Result<()> {
        let gateway = self.gateways.iter().find(|(of, _)| *of == uplink).map(|(_, gateway)| gateway);
        let gateway = gateway.ok_or_else(|| anyhow!("there is no gateway behind {}", uplink.ifname))?;
        if is_there { gateway.add_address(LOOPBACK, INTERNET, 32).await } else { gateway.remove_internet().await }
    }
}

async fn wire(uplink: Uplink, ifindex: u32, device: &Namespace, gateway: &Namespace) -> Result<()> {
    gateway.up(LOOPBACK).await?;
    gateway.add_address(LOOPBACK, INTERNET, 32).await?;
    device.add_link(uplink.ifname, ifindex, gateway).await?;
    gateway.add_address(ifindex, uplink.gateway, PREFIX_LEN).await?;
    device.add_address(ifindex, uplink.address, PREFIX_LEN).await?;
    gateway.up(ifindex).await?;
    device.up(ifindex).await
}

/// A network namespace, and a way to set it up.
#[derive(Debug)]
struct Namespace {
    file: File,
    netlink: Handle,
}

impl Namespace {
    fn new() -> Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(NotAllowed::because)?;
            File::open("/proc/thread-self/ns/net").context("cannot open a namespace")
        };
        // The thread that makes a namespace is in it; ours stays where it is.
        let file =
            thread::spawn(make).join().map_err(|_| anyhow!("the thread that makes a namespace ended early"))??;
        let runtime = tokio::runtime::Handle::current();
        let connected = netlink::within(Some(&path_of(&file)), || {
            let _context = runtime.enter();
            Ok(rtnetlink::new_connection())
        })?;
        let (connection, netlink, _) = connected.context("cannot open a netlink socket")?;
        tokio::spawn(connection);
        Ok(Self { file, netlink })
    }

    fn path(&self) -> PathBuf {
        path_of(&self.file)
    }

    /// A pair of virtual Ethernet devices: `name` here, the other end in `other`, with one index in both.
    async fn add_link(&self, name: &str, ifindex: u32, other: &Self) -> Result<()> {
        let end = LinkMessageBuilder::<LinkUnspec>::new().index(ifindex).name("lan".to_owned());
        let end: LinkMessage = end.setns_by_fd(other.file.as_raw_fd()).build();
        let pair = LinkVeth::new(name, "lan").index(ifindex).set_info_data(InfoData::Veth(InfoVeth::Peer(end)));
        let added = self.netlink.link().add(pair.build()).execute().await;
        added.context("cannot add a pair of virtual Ethernet devices (CONFIG_VETH)")
    }

    async fn up(&self, ifindex: u32) -> Result<()> {
        Ok(self.netlink.link().set(LinkUnspec::new_with_index(ifindex).up().build()).execute().await?)
    }

    async fn add_address(&self, ifindex: u32, address: Ipv4Addr, prefix_len: u8) -> Result<()> {
        Ok(self.netlink.address().add(ifindex, address.into(), prefix_len).execute().await?)
    }

    async fn remove_internet(&self) -> Result<()> {
        let address = AddressMessageBuilder::<Ipv4Addr>::new().index(LOOPBACK).address(INTERNET, 32);
        Ok(self.netlink.address().del(address.build()).execute().await?)
    }
}

fn path_of(namespace: &File) -> PathBuf {
    format!("/proc/self/fd/{}", namespace.as_raw_fd()).into()
}

/// The ifindex of `lo` in every namespace.
const LOOPBACK: u32 = 1;
/// The first of ours, chosen so that it need not be looked up.
const FIRST_IFINDEX: u32 = 10;
