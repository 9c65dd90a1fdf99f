//! Terms as people write them: Erlang's syntax, read from a command line and printed so that it can be read again.
//!
//! What is printed is read back as the same term. Erlang has no syntax for pids, ports and references; here they are
//! `#Pid<'node@host'.ID.SERIAL.CREATION>` and so on, so that one answer's pid can stand in the next request.
//!
//! Syntax: `erl_scan.erl` and `erl_parse.yrl` of OTP 25; a test compares with them.

mod cursor;
mod parse;
mod print;

pub use cursor::SyntaxError;
pub use parse::{Call, parse, parse_call};
pub use print::{Flat, Pretty};

/// Words that are no atoms unless quoted (`erl_scan:reserved_word/1`).
const RESERVED: [&str; 27] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case", "catch", "cond", "div",
    "end", "fun", "if", "let", "not", "of", "or", "orelse", "receive", "rem", "try", "when", "xor",
];

/// Likewise since OTP 27, so we write them with quotes and read them without.
const RESERVED_LATER: [&str; 2] = ["else", "maybe"];

/// Whether an atom of this name is written without quotes.
fn is_bare(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@'))
        && !RESERVED.contains(&name)
        && !RESERVED_LATER.contains(&name)
}

#[cfg(test)]
mod laws;
