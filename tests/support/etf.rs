//! Terms as Erlang text, for a peer written by hand: text → bytes, bytes → term, and text as a pattern. It shares no
//! code with what is tested.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

/// What names stand for: in text to be sent, and in patterns that have matched.
pub type Scope = BTreeMap<String, Etf>;

/// A term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Etf {
    Int(i128),
    Atom(String),
    Binary(Vec<u8>),
    Tuple(Vec<Self>),
    /// Elements, at least one, and the tail.
    List(Vec<Self>, Box<Self>),
    Nil,
    Map(Vec<(Self, Self)>),
    /// Pids, references, and what a test writes byte by byte.
    Bytes(Vec<u8>),
    /// Only in text: a name of the scope, or `_`.
    Var(String),
}

impl Etf {
    /// All terms of `text`, one after the other.
    #[track_caller]
    pub fn parse(text: &str) -> Vec<Self> {
        let mut parser = Parser { rest: text };
        let mut terms = Vec::new();
        while !parser.skip_blanks().is_empty() {
            terms.push(parser.term());
        }
        terms
    }

    /// Writes it without a version byte.
    #[track_caller]
    pub fn encode(&self, scope: &Scope, out: &mut Vec<u8>) {
        match self {
            Self::Int(n) if (0..256).contains(n) => out.extend([97, u8::try_from(*n).unwrap()]),
            Self::Int(n) => match i32::try_from(*n) {
                Ok(n) => out.extend([&[98][..], &n.to_be_bytes()].concat()),
                Err(_) => {
                    let bytes = n.unsigned_abs().to_le_bytes();
                    let len = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                    out.extend([110, u8::try_from(len).unwrap(), u8::from(*n < 0)]);
                    out.extend(&bytes[..len]);
                }
            },
            Self::Atom(name) => out.extend(super::raw::atom(name)),
            Self::Binary(bytes) => {
                out.push(109);
                out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
                out.extend(bytes);
            }
            Self::Tuple(elements) => {
                out.extend([104, u8::try_from(elements.len()).unwrap()]);
                elements.iter().for_each(|element| element.encode(scope, out));
            }
            Self::List(elements, tail) => {
                out.push(108);
                out.extend(u32::try_from(elements.len()).unwrap().to_be_bytes());
                elements.iter().chain([&**tail]).for_each(|element| element.encode(scope, out));
            }
            Self::Nil => out.push(106),
            Self::Map(_) => panic!("no map is ever sent"),
            Self::Bytes(bytes) => out.extend(bytes),
            Self::Var(name) => {
                scope.get(name).unwrap_or_else(|| panic!("{name} stands for nothing")).encode(scope, out);
            }
        }
    }

    /// As `driver:json/1` in `driver.erl` shows a term.
    pub fn json(&self) -> Value {
        match self {
            Self::Int(n) => Value::from(i64::try_from(*n).unwrap()),
            Self::Atom(name) => match &name[..] {
                "nil" => Value::Null,
                "true" | "false" => Value::from(name == "true"),
                name => Value::from(name),
            },
            Self::Binary(bytes) => Value::from(String::from_utf8_lossy(bytes)),
            Self::Tuple(elements) => address(elements)
                .map_or_else(|| elements.iter().map(Self::json).collect(), |ip| Value::from(ip.to_string())),
            Self::List(elements, _) => elements.iter().map(Self::json).collect(),
            Self::Nil => Value::Array(Vec::new()),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| (key.word(), value.json())).collect(),
            Self::Bytes(_) | Self::Var(_) => Value::from(self.to_string()),
        }
    }

    /// Text of an atom or a binary.
    fn word(&self) -> String {
        match self {
            Self::Atom(name) => name.clone(),
            Self::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_string(),
        }
    }

    /// Whether it is what `pattern` says. Names that stand for nothing yet are bound.
    pub fn matches(&self, pattern: &Self, scope: &mut Scope) -> bool {
        let all = |terms: &[Self], patterns: &[Self], scope: &mut Scope| {
            terms.len() == patterns.len() && terms.iter().zip(patterns).all(|(term, p)| term.matches(p, scope))
        };
        match (self, pattern) {
            (_, Self::Var(name)) if name == "_" => true,
            (_, Self::Var(name)) => match scope.get(name).cloned() {
                Some(value) => *self == value,
                None => scope.insert(name.clone(), self.clone()).is_none(),
            },
            (Self::Tuple(terms), Self::Tuple(patterns)) => all(terms, patterns, scope),
            (Self::List(terms, tail), Self::List(patterns, rest)) => {
                // `[A | _]` fits longer lists too.
                let (n, is_open) = (patterns.len(), matches!(**rest, Self::Var(_)));
                if is_open && terms.len() > n {
                    let rest_of_terms = Self::List(terms[n..].to_vec(), tail.clone());
                    return all(&terms[..n], patterns, scope) && rest_of_terms.matches(rest, scope);
                }
                all(terms, patterns, scope) && tail.matches(rest, scope)
            }
            _ => self == pattern,
        }
    }
}

/// The address that a tuple of numbers may be.
fn address(numbers: &[Etf]) -> Option<IpAddr> {
    let number = |term: &Etf| if let Etf::Int(n) = term { u16::try_from(*n).ok() } else { None };
    let numbers: Vec<u16> = numbers.iter().map(number).collect::<Option<_>>()?;
    if let Ok(segments) = <[u16; 8]>::try_from(numbers.clone()) {
        return Some(segments.into());
    }
    let bytes: Vec<u8> = numbers.into_iter().map(|n| u8::try_from(n).ok()).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Reads terms off the front of bytes.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn term(&mut self) -> Etf {
        let all = self.0;
        let tag = self.take(1)[0];
        match tag {
            97 => Etf::Int(self.number(1)),
            98 => Etf::Int(i128::from(i32::from_be_bytes(self.take(4).try_into().unwrap()))),
            110 => {
                let (len, sign) = (self.number(1), self.number(1));
                let bytes = self.take(len.try_into().unwrap());
                let n = bytes.iter().rev().fold(0, |n, b| n << 8 | i128::from(*b));
                Etf::Int(if sign == 1 { -n } else { n })
            }
            100 | 118 => self.atom(2, tag),
            115 | 119 => self.atom(1, tag),
            109 => {
                let len = self.number(4);
                Etf::Binary(self.take(len.try_into().unwrap()).to_vec())
            }
            104 | 105 => {
                let arity = self.number(if tag == 104 { 1 } else { 4 });
                Etf::Tuple((0..arity).map(|_| self.term()).collect())
            }
            106 => Etf::Nil,
            107 => {
                let len = self.number(2);
                let bytes = self.take(len.try_into().unwrap());
                Etf::List(bytes.iter().map(|b| Etf::Int((*b).into())).collect(), Box::new(Etf::Nil))
            }
            108 => {
                let len = self.number(4);
                let elements = (0..len).map(|_| self.term()).collect();
                Etf::List(elements, Box::new(self.term()))
            }
            116 => {
                let len = self.number(4);
                Etf::Map((0..len).map(|_| (self.term(), self.term())).collect())
            }
            77 => {
                let len = self.number(4);
                self.bytes(all, 1 + usize::try_from(len).unwrap())
            }
            70 => self.bytes(all, 8),
            88 => {
                self.term();
                self.bytes(all, 12)
            }
            90 => {
                let words = usize::try_from(self.number(2)).unwrap();
                self.term();
                self.bytes(all, 4 + 4 * words)
            }
            113 => {
                (0..3).for_each(|_| drop(self.term()));
                self.bytes(all, 0)
            }
            other => panic!("tag {other} in what the daemon sends: {all:?}"),
        }
    }

    /// What was read since `all`, and `more` bytes.
    fn bytes(&mut self, all: &'a [u8], more: usize) -> Etf {
        self.take(more);
        Etf::Bytes(all[..all.len() - self.0.len()].to_vec())
    }

    fn atom(&mut self, length: usize, tag: u8) -> Etf {
        let len = self.number(length);
        let bytes = self.take(len.try_into().unwrap());
        assert!(tag >= 118, "the daemon writes atoms in UTF-8");
        Etf::Atom(std::str::from_utf8(bytes).unwrap().to_owned())
    }

    fn number(&mut self, len: usize) -> i128 {
        self.take(len).iter().fold(0, |n, b| n << 8 | i128::from(*b))
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_blanks(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.skip_blanks().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, end: &str) -> &'a str {
        let (text, rest) = self.rest.split_once(end).unwrap_or_else(|| panic!("{end} is missing: {}", self.rest));
        self.rest = rest;
        text
    }

    fn word(&mut self) -> &'a str {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '@' | '-');
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        assert!(end > 0, "no term: {}", self.rest);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn term(&mut self) -> Etf {
        if self.eat("{") {
            return Etf::Tuple(self.elements("}"));
        }
        if self.eat("<<\"") {
            return Etf::Binary(self.until("\">>").as_bytes().to_vec());
        }
        if self.eat("\"") {
            // As a BEAM writes a list of bytes: STRING_EXT.
            let text = self.until("\"").as_bytes();
            return Etf::Bytes([&[107, 0, u8::try_from(text.len()).unwrap()], text].concat());
        }
        if self.eat("'") {
            return Etf::Atom(self.until("'").to_owned());
        }
        if self.eat("[") {
            let elements = self.elements("]");
            return if elements.is_empty() { Etf::Nil } else { Self::list(elements) };
        }
        let word = self.word();
        match word.chars().next() {
            Some(c) if c.is_ascii_digit() || c == '-' => Etf::Int(word.parse().unwrap()),
            Some(c) if c.is_uppercase() || c == '_' => Etf::Var(word.to_owned()),
            _ => Etf::Atom(word.to_owned()),
        }
    }

    /// `[a, b | c]` is read as the elements a, b, `|`, c.
    fn list(mut elements: Vec<Etf>) -> Etf {
        let bar = elements.iter().position(|element| *element == Etf::Atom("|".to_owned()));
        let tail = bar.map_or(Etf::Nil, |bar| {
            let tail = elements.pop().unwrap();
            elements.truncate(bar);
            tail
        });
        Etf::List(elements, Box::new(tail))
    }

    fn elements(&mut self, end: &str) -> Vec<Etf> {
        let mut elements = Vec::new();
        while !self.eat(end) {
            if self.eat("|") {
                elements.push(Etf::Atom("|".to_owned()));
            }
            elements.push(self.term());
            self.eat(",");
        }
        elements
    }
}

impl fmt::Display for Etf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |terms: &[Self]| terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Atom(name) => write!(f, "'{name}'"),
            Self::Binary(bytes) => write!(f, "<<{:?}>>", String::from_utf8_lossy(bytes)),
            Self::Tuple(elements) => write!(f, "{{{}}}", all(elements)),
            Self::List(elements, tail) if **tail == Self::Nil => write!(f, "[{}]", all(elements)),
            Self::List(elements, tail) => write!(f, "[{} | {tail}]", all(elements)),
            Self::Nil => write!(f, "[]"),
            Self::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} => {value}")).collect();
                write!(f, "#{{{}}}", pairs.join(", "))
            }
            Self::Bytes(bytes) => write!(f, "#{bytes:?}"),
            Self::Var(name) => write!(f, "{name}"),
        }
    }
}
