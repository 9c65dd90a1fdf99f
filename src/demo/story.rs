//! What happens: routes are set, the Internet is lost behind eth0, wlan0 takes over, eth0 comes back.

use std::time::Duration;

use anyhow::{Result, bail};

use super::client::Request;
use super::echo::Way;
use super::network::{ETH0, INTERNET, UPLINKS, Uplink, WLAN0};
use super::screen::{Screen, milliseconds};
use super::stage::{NODE, Stage};
use crate::route::Status;

/// Tells it.
///
/// # Errors
/// The first thing that went otherwise than it should.
pub async fn tell(stage: &mut Stage, screen: &mut Screen) -> Result<()> {
    introduce(stage, screen)?;

    screen.heading("0  The node is up; nobody has set a route")?;
    calls(stage, screen, &[Request::Connect]).await?;
    way(stage, screen, None).await?;

    screen.heading("1  Three interfaces get their routes; each is taken to reach its LAN")?;
    let mut took = calls(stage, screen, &UPLINKS.map(Request::SetRoute)).await?;
    way(stage, screen, Some(ETH0)).await?;

    screen.heading("2  All three reach the Internet; eth0 is preferred")?;
    took.extend(calls(stage, screen, &UPLINKS.map(|uplink| Request::SetStatus(uplink, Status::Internet))).await?);
    way(stage, screen, Some(ETH0)).await?;

    screen.heading("3  The Internet is lost behind eth0 (its gateway drops the address), and wlan0 takes over")?;
    stage.network.set_internet(ETH0, false).await?;
    way(stage, screen, None).await?;
    let failover = calls(stage, screen, &[Request::SetStatus(ETH0, Status::Lan)]).await?;
    way(stage, screen, Some(WLAN0)).await?;

    screen.heading("4  eth0 has the Internet again, and takes the traffic back")?;
    stage.network.set_internet(ETH0, true).await?;
    let back = calls(stage, screen, &[Request::SetStatus(ETH0, Status::Internet)]).await?;
    way(stage, screen, Some(ETH0)).await?;

    took.extend(failover.iter().chain(&back));
    conclude(stage, screen, took, failover.iter().sum())
}

fn introduce(stage: &Stage, screen: &mut Screen) -> Result<()> {
    let syntax = stage.client.syntax();
    screen.line(
        "A device with eth0, wlan0 and wwan0, a gateway behind each, in network namespaces of this program's own:",
    )?;
    screen.line(
        "this machine's routes are not touched. The node is an Erlang node on 127.0.0.1, with an epmd built in.",
    )?;
    screen.line(&format!(
        "Calls are made over the distribution by {}, as you would make them at {} after:",
        stage.client.description(),
        syntax.shell()
    ))?;
    screen.line(&format!("   {}", syntax.definition(NODE)))
}

/// Makes the calls, shows what they have changed, and says how long each took.
async fn calls(stage: &mut Stage, screen: &mut Screen, requests: &[Request]) -> Result<Vec<Duration>> {
    let syntax = stage.client.syntax();
    let text = |request: &Request| request.text(syntax, NODE);
    let width = requests.iter().map(|request| text(request).chars().count()).max().unwrap_or_default();
    let mut took = Vec::new();
    for request in requests {
        let reply = stage.client.call(request).await?;
        screen.call(&text(request), width, &reply)?;
        if reply.text != request.expected(syntax) {
            bail!("the reply should have been {}", request.expected(syntax));
        }
        took.push(reply.took);
    }
    screen.differences(&stage.kernel.differences()?)?;
    Ok(took)
}

/// Shows which way a packet goes to the Internet, and checks that it is this one.
async fn way(stage: &mut Stage, screen: &mut Screen, expected: Option<Uplink>) -> Result<()> {
    let way = stage.prober.probe(INTERNET).await?;
    screen.way(INTERNET, way)?;
    let by = match way {
        Way::By(uplink, _) => Some(uplink),
        Way::NoAnswer(_) | Way::NoRoute => None,
    };
    if by == expected {
        return Ok(());
    }
    match expected {
        Some(uplink) => bail!("the packet should have gone by {}", uplink.ifname),
        None => bail!("the packet should not have been answered"),
    }
}

fn conclude(stage: &Stage, screen: &mut Screen, mut took: Vec<Duration>, failover: Duration) -> Result<()> {
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    let slowest = took.last().copied().unwrap_or_default();
    screen.line("")?;
    screen.line(&format!(
        "{} route changes, each in the kernel before its reply: median {}, slowest {}; failover {}; {:.1} s in all.",
        took.len(),
        milliseconds(median),
        milliseconds(slowest),
        milliseconds(failover),
        stage.began.elapsed().as_secs_f64()
    ))
}
