//! Term → text that [`super::parse`] reads as the same term, and that no terminal obeys.

use std::fmt;

use eetf::Term;

use super::is_bare;

/// On one line.
pub struct Flat<'a>(pub &'a Term);

/// On one line where it fits, else an element a line.
pub struct Pretty<'a>(pub &'a Term);

/// A line's length, if it can be kept.
const WIDTH: usize = 100;

impl fmt::Display for Flat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        Shape::of(self.0).flat(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        Shape::of(self.0).pretty(&mut text, 0, 0);
        f.write_str(&text)
    }
}

/// A term, its words written, its lines not yet chosen.
enum Shape {
    Word(String),
    Group { open: &'static str, items: Vec<Item>, close: &'static str, width: usize },
}

struct Item {
    /// What stands before the value: a map's key.
    key: Option<Shape>,
    value: Shape,
    /// What stands before the item but for the first: a comma, or the bar of an improper list.
    separator: char,
}

impl Shape {
    fn of(term: &Term) -> Self {
        match term {
            Term::List(list) if !list.elements.is_empty() => {
                text_of(&list.elements).map_or_else(|| Self::group("[", all(&list.elements), "]"), Self::Word)
            }
            Term::ImproperList(list) => {
                let mut items = all(&list.elements);
                items.push(Item { key: None, value: Self::of(&list.last), separator: '|' });
                Self::group("[", items, "]")
            }
            Term::Tuple(tuple) => Self::group("{", all(&tuple.elements), "}"),
            Term::Map(map) => {
                let pair = |(key, value)| Item { key: Some(Self::of(key)), value: Self::of(value), separator: ',' };
                let mut items: Vec<(String, Item)> = map.map.iter().map(pair).map(|item| (item.text(), item)).collect();
                // The table has no order, and the same answer should look the same.
                items.sort_by(|a, b| a.0.cmp(&b.0));
                Self::group("#{", items.into_iter().map(|(_, item)| item).collect(), "}")
            }
            term => Self::Word(word(term)),
        }
    }

    fn group(open: &'static str, items: Vec<Item>, close: &'static str) -> Self {
        let width = open.len() + close.len() + items.iter().map(|item| item.width() + 1).sum::<usize>();
        Self::Group { open, items, close, width }
    }

    fn width(&self) -> usize {
        match self {
            Self::Word(word) => word.chars().count(),
            Self::Group { width, .. } => *width,
        }
    }

    fn flat(&self, text: &mut String) {
        match self {
            Self::Word(word) => text.push_str(word),
            Self::Group { open, items, close, .. } => {
                text.push_str(open);
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(item.separator);
                    }
                    item.flat(text);
                }
                text.push_str(close);
            }
        }
    }

    /// `indent`: of the group that this is in; `used`: of the line, before this.
    fn pretty(&self, text: &mut String, indent: usize, used: usize) {
        let Self::Group { open, items, close, .. } = self else { return self.flat(text) };
        if used + self.width() <= WIDTH {
            return self.flat(text);
        }
        let mut indent = indent + open.len();
        text.push_str(open);
        for (index, item) in items.iter().enumerate() {
            match items.first() {
                _ if index == 0 => {}
                // What a tuple is called stays with what comes first in it.
                Some(Item { value: Self::Word(tag), .. }) if index == 1 && *open == "{" => {
                    text.push(item.separator);
                    indent += tag.chars().count() + 1;
                }
                _ => {
                    text.push(item.separator);
                    text.push('\n');
                    text.extend(std::iter::repeat_n(' ', indent));
                }
            }
            item.pretty(text, indent);
        }
        text.push_str(close);
    }
}

impl Item {
    fn width(&self) -> usize {
        self.value.width() + self.key.as_ref().map_or(0, |key| key.width() + 4)
    }

    fn flat(&self, text: &mut String) {
        if let Some(key) = &self.key {
            key.flat(text);
            text.push_str(" => ");
        }
        self.value.flat(text);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.flat(&mut text);
        text
    }

    fn pretty(&self, text: &mut String, indent: usize) {
        let mut used = indent;
        if let Some(key) = &self.key {
            key.pretty(text, indent, used);
            text.push_str(" => ");
            used += key.width() + 4;
        }
        self.value.pretty(text, indent, used);
    }
}

fn all(terms: &[Term]) -> Vec<Item> {
    terms.iter().map(|term| Item { key: None, value: Shape::of(term), separator: ',' }).collect()
}

/// What is no group.
fn word(term: &Term) -> String {
    match term {
        Term::Atom(atom) => name(&atom.name),
        Term::FixInteger(number) => number.value.to_string(),
        Term::BigInteger(number) => number.value.to_string(),
        Term::Float(float) => float_text(float.value),
        Term::Binary(binary) => binary_text(&binary.bytes),
        Term::BitBinary(bits) => bit_text(&bits.bytes, bits.tail_bits_size),
        Term::Pid(pid) => format!("#Pid<{}.{}.{}.{}>", name(&pid.node.name), pid.id, pid.serial, pid.creation),
        Term::Port(port) => format!("#Port<{}.{}.{}>", name(&port.node.name), port.id, port.creation),
        Term::Reference(reference) => {
            let words: Vec<_> = reference.id.iter().map(ToString::to_string).collect();
            format!("#Ref<{}.{}.{}>", name(&reference.node.name), words.join("."), reference.creation)
        }
        Term::ExternalFun(fun) => format!("fun {}:{}/{}", name(&fun.module.name), name(&fun.function.name), fun.arity),
        Term::InternalFun(_) => "#Fun<>".to_owned(),
        _ => "[]".to_owned(),
    }
}

fn name(name: &str) -> String {
    if is_bare(name) { name.to_owned() } else { quoted(name, '\'') }
}

fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            _ if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            _ if is_printable(c) => quoted.push(c),
            _ => quoted.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
        }
    }
    quoted.push(quote);
    quoted
}

/// Whether a terminal shows it as one character, and does nothing else.
fn is_printable(c: char) -> bool {
    // Quotes and backslashes are escaped too, and by themselves.
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

fn is_text(c: char) -> bool {
    is_printable(c) || matches!(c, '\n' | '\r' | '\t')
}

/// Of a list of characters.
fn text_of(elements: &[Term]) -> Option<String> {
    let char = |term: &Term| match term {
        Term::FixInteger(number) => u32::try_from(number.value).ok().and_then(char::from_u32).filter(|c| is_text(*c)),
        _ => None,
    };
    elements.iter().map(char).collect::<Option<String>>().map(|text| quoted(&text, '"'))
}

fn binary_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "<<>>".to_owned(),
        Ok(text) if text.is_ascii() && text.chars().all(is_text) => format!("<<{}>>", quoted(text, '"')),
        Ok(text) if text.chars().all(is_text) => format!("<<{}/utf8>>", quoted(text, '"')),
        _ => format!("<<{}>>", numbers(bytes)),
    }
}

fn bit_text(bytes: &[u8], tail_bits: u8) -> String {
    let Some((last, whole)) = bytes.split_last() else { return "<<>>".to_owned() };
    let tail = format!("{}:{tail_bits}", u32::from(*last) >> 8_u32.saturating_sub(u32::from(tail_bits)));
    if whole.is_empty() { format!("<<{tail}>>") } else { format!("<<{},{tail}>>", numbers(whole)) }
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The shortest that is read as the same; Erlang wants a point.
fn float_text(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, integer, list, map, string, tuple};

    #[test]
    fn reads_like_erlang() {
        let term = tuple([atom("No"), atom("end"), binary("é"), string("hi\n"), list([integer(1)]), binary([0, 255])]);
        assert_eq!(Flat(&term).to_string(), r#"{'No','end',<<"é"/utf8>>,"hi\n",[1],<<0,255>>}"#);
        assert_eq!(Flat(&map([(atom("b"), integer(2)), (atom("a"), list([]))])).to_string(), "#{a => [],b => 2}");
        for (value, text) in [(1e16, "1.0e16"), (1.0, "1.0"), (-0.0, "-0.0"), (1.5e-300, "1.5e-300")] {
            assert_eq!(float_text(value), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys() {
        let text = Flat(&tuple([atom("\u{1b}[2J"), binary("\u{9b}2J\u{202e}")])).to_string();
        assert_eq!(text, r"{'\x{1b}[2J',<<194,155,50,74,226,128,174>>}");
    }

    #[test]
    fn what_is_long_has_an_element_a_line() {
        let long = |letter: &str| binary(letter.repeat(60));
        let term = tuple([atom("a"), map([(atom("k"), long("x")), (atom("l"), long("y"))])]);
        let text = Pretty(&term).to_string();
        let (x, y) = ("x".repeat(60), "y".repeat(60));
        assert_eq!(text, format!("{{a,#{{k => <<\"{x}\">>,\n     l => <<\"{y}\">>}}}}"));
    }
}
