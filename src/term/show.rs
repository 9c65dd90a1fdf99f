//! Terms in Erlang's own syntax, for logs and messages.

use std::fmt::{self, Write};

use eetf::Term;

/// Shows a term as Erlang would print it, cut off after some 1,000 characters: a log line is no place for a dump.
pub struct Show<'a>(pub &'a Term);

const MAX_CHARS: usize = 1_000;

/// More bits than [`MAX_CHARS`] digits say.
const MAX_BITS: u64 = 3_400;

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Capped { text: String::new(), room: MAX_CHARS };
        // A full buffer is the only error, and then the ellipsis says so.
        if write_term(self.0, &mut out).is_err() {
            out.text.push('…');
        }
        f.write_str(&out.text)
    }
}

struct Capped {
    text: String,
    room: usize,
}

impl Write for Capped {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

fn write_term(term: &Term, out: &mut Capped) -> fmt::Result {
    match term {
        Term::Atom(atom) => write_atom(&atom.name, out),
        Term::Binary(binary) => write_binary(&binary.bytes, out),
        Term::List(list) => write_list(&list.elements, out),
        Term::ImproperList(list) => {
            out.write_char('[')?;
            write_all(&list.elements, out)?;
            out.write_char('|')?;
            write_term(&list.last, out)?;
            out.write_char(']')
        }
        Term::Tuple(tuple) => {
            out.write_char('{')?;
            write_all(&tuple.elements, out)?;
            out.write_char('}')
        }
        Term::Map(map) => {
            out.write_str("#{")?;
            for (i, (key, value)) in map.map.iter().enumerate() {
                out.write_str(if i == 0 { "" } else { "," })?;
                write_term(key, out)?;
                out.write_str(" => ")?;
                write_term(value, out)?;
            }
            out.write_char('}')
        }
        Term::Pid(pid) => write!(out, "#Pid<{}.{}.{}>", pid.node.name, pid.id, pid.serial),
        Term::Reference(reference) => {
            write!(out, "#Ref<{}", reference.node.name)?;
            reference.id.iter().try_for_each(|word| write!(out, ".{word}"))?;
            out.write_char('>')
        }
        // To write it in decimal takes time by the square of its length, and of that a peer has 16 MiB.
        Term::BigInteger(integer) if integer.value.bits() > MAX_BITS => {
            write!(out, "#Integer<{} bits>", integer.value.bits())
        }
        other => write!(out, "{other}"),
    }
}

fn write_all(terms: &[Term], out: &mut Capped) -> fmt::Result {
    for (i, term) in terms.iter().enumerate() {
        out.write_str(if i == 0 { "" } else { "," })?;
        write_term(term, out)?;
    }
    Ok(())
}

fn write_atom(name: &str, out: &mut Capped) -> fmt::Result {
    let is_bare = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@'));
    if is_bare { out.write_str(name) } else { write!(out, "'{}'", name.escape_debug()) }
}

fn write_binary(bytes: &[u8], out: &mut Capped) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) => write!(out, "<<\"{}\">>", text.escape_debug()),
        Err(_) => write!(out, "<<\"{}\">>", bytes.escape_ascii()),
    }
}

fn write_list(elements: &[Term], out: &mut Capped) -> fmt::Result {
    let printable = |term: &Term| match term {
        Term::FixInteger(n) => u8::try_from(n.value).ok().filter(|b| (b' '..=b'~').contains(b)).map(char::from),
        _ => None,
    };
    match elements.iter().map(printable).collect::<Option<String>>() {
        Some(text) if !text.is_empty() => write!(out, "\"{}\"", text.escape_debug()),
        _ => {
            out.write_char('[')?;
            write_all(elements, out)?;
            out.write_char(']')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, integer, list, string, tuple};

    #[test]
    fn reads_like_erlang() {
        let term = tuple([atom("set_route"), binary("eth0"), string("hi"), list([integer(1)]), atom("No")]);
        assert_eq!(Show(&term).to_string(), r#"{set_route,<<"eth0">>,"hi",[1],'No'}"#);
    }

    #[test]
    fn a_huge_integer_is_not_written_out() {
        let shown =
            |bits: u32| Show(&eetf::BigInteger { value: num_bigint::BigInt::from(1) << bits }.into()).to_string();
        assert_eq!(shown(64), "18446744073709551616");
        assert_eq!(shown(1 << 27), "#Integer<134217729 bits>");
    }

    #[test]
    fn is_cut_off() {
        let shown = Show(&list(vec![atom("a"); 10_000])).to_string();
        assert!(shown.chars().count() <= MAX_CHARS + 1 && shown.ends_with('…'));
    }
}
