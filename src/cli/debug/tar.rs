//! A tar archive of small files, all readable by their owner only: POSIX.1-1988 `ustar`, which every tar reads.

const BLOCK: usize = 512;

/// An archive of `files`, by name, as of `unix_seconds`.
pub(super) fn archive(files: &[(String, Vec<u8>)], unix_seconds: u64) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        archive.extend(header(name, content.len(), unix_seconds));
        archive.extend(content);
        pad(&mut archive);
    }
    // Its end: two empty blocks.
    archive.extend([0; 2 * BLOCK]);
    archive
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

fn header(name: &str, len: usize, unix_seconds: u64) -> Vec<u8> {
    let before = [
        text(name, 100),
        text("0000600", 8),
        text("0000000", 8),
        text("0000000", 8),
        text(&format!("{len:011o}"), 12),
        text(&format!("{unix_seconds:011o}"), 12),
    ]
    .concat();
    // A file; no link; whose names are root.
    let after = [text("0", 1), text("", 100), text("ustar\u{0}00", 8), text("root", 32), text("root", 32)].concat();
    // Its own field counts as blanks.
    let sum: u32 = before.iter().chain(&after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    let mut header = [before, text(&format!("{sum:06o}\u{0} "), 8), after].concat();
    header.resize(BLOCK, 0);
    header
}

fn text(text: &str, len: usize) -> Vec<u8> {
    let mut field: Vec<u8> = text.bytes().take(len).collect();
    field.resize(len, 0);
    field
}
