//! `beamroute completions` and `beamroute man`: what packages ship, made from the definition of the command line.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use clap_complete::Shell;

use super::date::date_of;
use super::reference::{VARIABLES, settings};
use super::{ExitCode, Failure, Printed, VERSION, command};

/// Of `beamroute completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// For which shell: bash, zsh or fish
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    pub shell: String,
}

/// Of `beamroute man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The directory to write the pages into; made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

impl CompletionsArgs {
    /// The script.
    #[must_use]
    pub fn completions(self) -> Printed {
        let shell = match self.shell.as_str() {
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            _ => Shell::Bash,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), "beamroute", &mut script);
        Printed::text(String::from_utf8_lossy(&script).into_owned())
    }
}

impl ManArgs {
    /// Writes `beamroute.1`, a page for each subcommand, and `beamroute.toml.5`; prints their names.
    ///
    /// # Errors
    /// A sentence for the operator, if a file cannot be written.
    pub fn man(self) -> Result<Printed, Failure> {
        let failed = |error: io::Error| Failure {
            code: ExitCode::Failed,
            message: format!("cannot write man pages into {}: {error}", self.dir.display()),
        };
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let mut names = Vec::new();
        for (name, page) in pages().map_err(failed)? {
            let file = self.dir.join(name);
            fs::write(&file, page).map_err(failed)?;
            names.push(format!("{}\n", file.display()));
        }
        Ok(Printed::text(names.concat()))
    }
}

/// All pages, by the names of their files.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command();
    command.build();
    let mut pages = vec![("beamroute.toml.5".to_owned(), configuration().into_bytes())];
    add_pages(&command, "beamroute", &mut pages)?;
    Ok(pages)
}

fn add_pages(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        add_pages(subcommand, &format!("{name}-{}", subcommand.get_name()), pages)?;
    }
    let mut page = Vec::new();
    let source = format!("beamroute {VERSION}");
    let man = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).source(source);
    man.date(date()).manual("beamroute").render(&mut page)?;
    if name == "beamroute" {
        page.extend_from_slice(exit_status().as_bytes());
    }
    pages.push((format!("{name}.1"), page));
    Ok(())
}

/// Also for the README's sake: what the numbers mean stands in one place.
fn exit_status() -> String {
    let mut text = String::from(".SH \"EXIT STATUS\"\n");
    for code in ExitCode::ALL {
        text += &format!(".TP\n\\fB{}\\fR\n{}\n", code as u8, line(code.meaning()));
    }
    text + ".SH \"SEE ALSO\"\n\\fBbeamroute.toml\\fR(5), \\fBip\\fR(8), \\fBepmd\\fR(1)\n"
}

/// Section 5: the file.
fn configuration() -> String {
    let mut text = format!(
        ".TH BEAMROUTE.TOML 5 {} \"beamroute {VERSION}\" beamroute\n.SH NAME\nbeamroute.toml \\- configuration of \
         beamroute\n.SH SYNOPSIS\n/etc/beamroute/beamroute.toml, or the file of \\fB\\-\\-config\\fR or \
         \\fBBEAMROUTE_CONFIG\\fR\n.SH DESCRIPTION\n",
        date()
    );
    text += "A TOML file. Flags go before environment variables, and these before the file; unknown keys are refused. \
             SIGHUP has some of it read again, as the log says; \\fBbeamroute check\\fR says what is wrong with it.\n.SH KEYS\n";
    for setting in settings() {
        text += &format!(
            ".TP\n\\fB{}\\fR (default: {})\n{}.\n",
            plain(&setting.key),
            plain(&setting.default),
            line(&setting.meaning)
        );
        if let (Some(flag), Some(variable)) = (&setting.flag, setting.variable()) {
            text += &format!("As \\fB{}\\fR and \\fB{}\\fR.\n", plain(flag), plain(&variable));
        }
    }
    text += ".SH ENVIRONMENT\n";
    for (variable, meaning) in VARIABLES {
        text += &format!(".TP\n\\fB{}\\fR\n{}.\n", plain(variable), line(meaning));
    }
    text + ".SH \"SEE ALSO\"\n\\fBbeamroute\\fR(1), \\fBbeamroute\\-run\\fR(1), \\fBbeamroute\\-check\\fR(1)\n"
}

/// Of the pages: when they are made, or as SOURCE_DATE_EPOCH says, so that packages can be made again alike.
fn date() -> String {
    let asked = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    date_of(asked.unwrap_or_else(now))
}

/// At the beginning of a line, a point or an apostrophe would be a request.
fn line(text: &str) -> String {
    format!("\\&{}", plain(text))
}

fn plain(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_and_one_for_the_file() {
        let pages = pages().unwrap();
        let named = |name: &str| {
            let page = pages.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name}"));
            String::from_utf8(page.1.clone()).unwrap()
        };
        for command in command().get_subcommands() {
            named(&format!("beamroute-{}.1", command.get_name()));
        }
        assert!(named("beamroute-debug-bundle.1").contains("cookie"));
        assert!(named("beamroute.1").contains("No such node is running"));
        let file = named("beamroute.toml.5");
        for key in crate::config::options::keys() {
            assert!(file.contains(&format!("\\fB{key}\\fR (default: ")), "{key}");
        }
        assert!(file.contains("limits.connections\\fR (default: 1024)"));
    }

    #[test]
    fn no_line_of_text_is_a_request() {
        assert_eq!(line(".x\n'-\\"), "\\&.x '\\-\\e");
    }
}
