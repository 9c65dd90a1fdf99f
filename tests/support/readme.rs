//! The README's fenced blocks, and what a transcript in it shows.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::repository;

/// A fenced block: its language and its lines.
pub type Block = (String, Vec<String>);

/// What is typed after a prompt, and what the README says is shown.
pub type Step<'a> = (&'a str, Vec<&'a str>);

/// All fenced blocks, each with the heading of its section; of the first screen it is empty.
pub fn all_blocks() -> Vec<(String, Block)> {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let mut blocks: Vec<(String, Block)> = Vec::new();
    let (mut heading, mut is_inside) = (String::new(), false);
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(language) if !is_inside => {
                blocks.push((heading.clone(), (language.to_owned(), Vec::new())));
                is_inside = true;
            }
            Some(_) => is_inside = false,
            None if is_inside => blocks.last_mut().unwrap().1.1.push(line.to_owned()),
            None => heading = line.strip_prefix("## ").map_or(heading, str::to_owned),
        }
    }
    blocks
}

/// The fenced blocks of a section.
pub fn blocks(heading: &str) -> Vec<Block> {
    let blocks = all_blocks().into_iter().filter(|(of, _)| of == heading).map(|(_, block)| block);
    let blocks: Vec<_> = blocks.collect();
    assert!(!blocks.is_empty(), "the section {heading}");
    blocks
}

/// The steps of a transcript; `typed` gives what stands behind a prompt.
pub fn steps(lines: &[String], typed: fn(&str) -> Option<&str>) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in lines {
        match typed(line) {
            Some(typed) => steps.push((typed, Vec::new())),
            None => steps.last_mut().expect("a prompt").1.push(line),
        }
    }
    steps
}

/// What stands behind iex's prompt.
pub fn at_elixir(line: &str) -> Option<&str> {
    line.split_once("> ").filter(|(prompt, _)| prompt.starts_with("iex(")).map(|(_, rest)| rest)
}

/// Types `steps` at `iex`, which must show what they say.
pub fn type_at_iex(mut iex: Command, steps: &[Step<'_>]) {
    let mut iex = iex.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: String = steps.iter().map(|(typed, _)| format!("{typed}\n")).collect();
    iex.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let shown = String::from_utf8(iex.wait_with_output().unwrap().stdout).unwrap();
    // A prompt has no line end of its own.
    let results = shown.lines().map(|line| at_elixir(line).unwrap_or(line));
    let said: Vec<&str> = steps.iter().flat_map(|(_, said)| said.clone()).collect();
    let said = [&["..."], &said[..], &["..."]].concat();
    assert!(fits(&results.collect::<Vec<_>>(), &said), "{shown}\nbut the README says\n{said:#?}");
}

/// Whether `shown` is what a transcript says: `...` stands for any lines, and within a line for any text.
pub fn fits(shown: &[&str], said: &[&str]) -> bool {
    match said {
        [] => shown.is_empty(),
        ["...", rest @ ..] => (0..=shown.len()).any(|skipped| fits(&shown[skipped..], rest)),
        [line, rest @ ..] => {
            shown.first().is_some_and(|first| line_fits(first.trim_end(), line)) && fits(&shown[1..], rest)
        }
    }
}

fn line_fits(shown: &str, said: &str) -> bool {
    let Some((before, after)) = said.split_once("...") else { return shown == said };
    shown.strip_prefix(before).is_some_and(|rest| {
        rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(&rest[at..], after))
    })
}
