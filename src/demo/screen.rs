//! How the demo looks: lines on stdout, with colour only on a terminal (and not if `NO_COLOR` is set, no-color.org).

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::client::Reply;
use super::echo::Way;
use super::kernel::Difference;

/// Where the story appears.
#[derive(Debug)]
pub struct Screen {
    out: io::Stdout,
    is_coloured: bool,
}

/// Colours, as `SGR` parameters (ECMA-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Bold = 1,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Screen {
    /// The standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let out = io::stdout();
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_coloured = out.is_terminal() && !is_unwanted;
        Self { out, is_coloured }
    }

    /// A line.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub fn line(&mut self, text: &str) -> Result<()> {
        let written = writeln!(self.out, "{}", text.trim_end()).and_then(|()| self.out.flush());
        written.context("cannot write to the standard output")
    }

    /// A heading, after an empty line.
    ///
    /// # Errors
    /// As for [`Screen::line`].
    pub fn heading(&mut self, text: &str) -> Result<()> {
        self.line("")?;
        self.line(&self.paint(Colour::Bold, text))
    }

    /// A call padded to `width` characters, its reply and its time.
    ///
    /// # Errors
    /// As for [`Screen::line`].
    pub fn call(&mut self, text: &str, width: usize, reply: &Reply) -> Result<()> {
        let text = self.paint(Colour::Cyan, &format!("{text:width$}"));
        self.line(&format!("   {text}  {:<4} {:>9}", reply.text, milliseconds(reply.took)))
    }

    /// Changed lines of `ip rule` and `ip route`.
    ///
    /// # Errors
    /// As for [`Screen::line`].
    pub fn differences(&mut self, differences: &[Difference]) -> Result<()> {
        for difference in differences {
            let line = match difference {
                Difference::Came(line) => self.paint(Colour::Green, &format!("+ {line}")),
                Difference::Went(line) => self.paint(Colour::Red, &format!("- {line}")),
                Difference::Metric(line, before) => {
                    self.paint(Colour::Yellow, &format!("~ {line}")) + &format!("  (was {before})")
                }
            };
            self.line(&format!("     {line}"))?;
        }
        Ok(())
    }

    /// Which way a packet goes to `destination`.
    ///
    /// # Errors
    /// As for [`Screen::line`].
    pub fn way(&mut self, destination: std::net::Ipv4Addr, way: Way) -> Result<()> {
        let (colour, way) = match way {
            Way::By(uplink, took) => {
                let (gateway, ifname) = (uplink.gateway, uplink.ifname);
                (Colour::Green, format!("answered through {gateway} on {ifname} in {}", milliseconds(took)))
            }
            Way::NoAnswer(waited) => (Colour::Red, format!("no answer in {} ms", waited.as_millis())),
            Way::NoRoute => (Colour::Red, "no route".into()),
        };
        self.line(&format!("   => a packet to {destination}: {}", self.paint(colour, &way)))
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }
}

/// A time in milliseconds, to two places.
#[must_use]
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_where_wanted() {
        let screen = |is_coloured| Screen { out: io::stdout(), is_coloured };
        assert_eq!(screen(false).paint(Colour::Red, "no"), "no");
        assert_eq!(screen(true).paint(Colour::Red, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(milliseconds(Duration::from_micros(1234)), "1.23 ms");
    }
}
