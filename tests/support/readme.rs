//! The README's fenced blocks, and what a transcript in it shows.

use std::fs;

use super::repository;

/// A fenced block: its language and its lines.
pub type Block = (String, Vec<String>);

/// The fenced blocks of a section.
pub fn blocks(heading: &str) -> Vec<Block> {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in section.lines() {
        match line.strip_prefix("```") {
            Some(language) if !is_inside => {
                blocks.push((language.to_owned(), Vec::new()));
                is_inside = true;
            }
            Some(_) => is_inside = false,
            None if is_inside => blocks.last_mut().unwrap().1.push(line.to_owned()),
            None => {}
        }
    }
    blocks
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
