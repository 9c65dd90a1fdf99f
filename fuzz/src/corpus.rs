//! Inputs that are kept: a file per target, one input per line in hexadecimal.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::Target;
use crate::coverage::Coverage;

/// What a target's corpus may take on disk.
const MAX_BYTES: usize = 32 << 10;

/// Reads a file of inputs. Lines that begin with `#` are remarks.
///
/// # Errors
/// If it is there and cannot be read, or a line is not hexadecimal.
pub fn read(file: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| from_hex(line).ok_or_else(|| io::Error::other(format!("not hexadecimal: {line}"))))
        .collect()
}

/// Writes the smallest inputs that together run through all that `inputs` run through.
///
/// # Errors
/// If it cannot be written.
pub fn write_smallest(file: &Path, target: &Target, mut inputs: Vec<Vec<u8>>) -> io::Result<usize> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let (mut text, mut kept) = (String::new(), 0);
    // First what reaches code that nothing else does, then what only runs it more often.
    for mut coverage in [Coverage::of_edges(), Coverage::of_counts()] {
        inputs.retain(|input| {
            coverage.reset();
            (target.run)(input);
            let is_kept = coverage.add() > 0 && text.len() + 2 * input.len() < MAX_BYTES;
            if is_kept {
                text += &to_hex(input);
                text.push('\n');
                kept += 1;
            }
            !is_kept
        });
    }
    std::fs::write(file, text)?;
    Ok(kept)
}

/// Two digits for each byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that two digits each stand for.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
