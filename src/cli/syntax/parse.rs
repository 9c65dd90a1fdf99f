//! Text → term.

use eetf::{
    Atom, BigInteger, BitBinary, ExternalFun, FixInteger, Float, ImproperList, Map, Pid, Port, Reference, Term,
};
use num_bigint::BigInt;

use super::RESERVED;
use super::cursor::{Cursor, SyntaxError};
use crate::term::{Limits, binary, integer, list, string, tuple};

/// A request of the command line.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A term, for a registered process.
    Request(Term),
    /// `Module:Function(Args)`
    Apply {
        /// The module.
        module: String,
        /// The function.
        function: String,
        /// Its arguments.
        args: Vec<Term>,
    },
}

/// Reads one term; a full stop may follow.
///
/// # Errors
/// [`SyntaxError`] with the column.
pub fn parse(text: &str) -> Result<Term, SyntaxError> {
    let mut parser = Parser::new(text);
    let term = parser.term(0)?;
    parser.end()?;
    Ok(term)
}

/// Reads a term, or a call of a function.
///
/// # Errors
/// [`SyntaxError`] with the column.
pub fn parse_call(text: &str) -> Result<Call, SyntaxError> {
    let mut parser = Parser::new(text);
    let start = parser.term(0)?;
    parser.cursor.skip_blanks();
    let call = match start {
        Term::Atom(module) if parser.cursor.eat(":") => {
            let function = parser.atom()?;
            parser.cursor.expect("(")?;
            Call::Apply { module: module.name, function, args: parser.elements(0, ")")? }
        }
        Term::Atom(_) if parser.cursor.rest().starts_with('(') => {
            return Err(parser.cursor.wrong("a function is called as Module:Function(Args)"));
        }
        term => Call::Request(term),
    };
    parser.end()?;
    Ok(call)
}

/// What others accept, with room for the message around it.
const MAX_DEPTH: usize = Limits::MAX_DEPTH - 8;

/// As OTP has it.
const MAX_ATOM_CHARS: usize = 255;

/// More digits than anybody types; reading them takes time by the square of their number.
const MAX_DIGITS: usize = 10_000;

struct Parser<'a> {
    cursor: Cursor<'a>,
    terms_left: usize,
}

type Parsed<T> = Result<T, SyntaxError>;

impl<'a> Parser<'a> {
    const fn new(text: &'a str) -> Self {
        Self { cursor: Cursor::new(text), terms_left: Limits::DEFAULT_TERMS }
    }

    /// Nothing more may come.
    fn end(&mut self) -> Parsed<()> {
        self.cursor.skip_blanks();
        if self.cursor.eat(".") {
            self.cursor.skip_blanks();
        }
        match self.cursor.peek() {
            None => Ok(()),
            Some(_) => Err(self.cursor.wrong("the term has ended here, and more comes")),
        }
    }

    fn count(&mut self, terms: usize) -> Parsed<()> {
        let left = self.terms_left.checked_sub(terms);
        self.terms_left = left.ok_or_else(|| self.cursor.wrong("too many terms"))?;
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Parsed<Term> {
        self.cursor.skip_blanks();
        if depth > MAX_DEPTH {
            return Err(self.cursor.wrong("nested too deeply"));
        }
        self.count(1)?;
        let start = self.cursor.at();
        let Some(c) = self.cursor.peek() else { return Err(self.cursor.wrong("a term is wanted, the text ends")) };
        match c {
            '0'..='9' | '-' | '+' | '$' => self.number(),
            '"' => self.string(),
            '\'' => self.atom().map(|name| Atom::from(name).into()),
            '{' => {
                self.cursor.next();
                self.elements(depth, "}").map(tuple)
            }
            '[' => {
                self.cursor.next();
                self.list(depth)
            }
            '<' if self.cursor.eat("<<") => self.binary(),
            '<' => Err(self.cursor.wrong("a pid is written #Pid<'node@host'.ID.SERIAL.CREATION>")),
            '#' if self.cursor.eat("#{") => self.map(depth),
            '#' => self.identifier(),
            _ if is_atom_start(c) => {
                let name = self.cursor.take_while(is_atom_char);
                match name {
                    "fun" => self.fun(),
                    _ if RESERVED.contains(&name) => {
                        let reason = format!("{name} is a reserved word; the atom is written '{name}'");
                        Err(self.cursor.wrong_at(start, &reason))
                    }
                    _ => self.named(name, start),
                }
            }
            _ if c.is_uppercase() || c == '_' => {
                let name = self.cursor.take_while(is_atom_char);
                let reason = format!("variables have no values here; the atom is written '{name}'");
                Err(self.cursor.wrong_at(start, &reason))
            }
            _ => Err(self.cursor.wrong(&format!("no term begins with {c:?}"))),
        }
    }

    fn named(&self, name: &str, start: usize) -> Parsed<Term> {
        if name.chars().count() > MAX_ATOM_CHARS {
            return Err(self.cursor.wrong_at(start, "an atom has at most 255 characters"));
        }
        Ok(Atom::from(name).into())
    }

    /// An atom's name, quoted or not.
    fn atom(&mut self) -> Parsed<String> {
        self.cursor.skip_blanks();
        let start = self.cursor.at();
        let name = match self.cursor.peek() {
            Some('\'') => self.cursor.quoted('\'')?,
            Some(c) if is_atom_start(c) => {
                let name = self.cursor.take_while(is_atom_char);
                if RESERVED.contains(&name) {
                    return Err(self.cursor.wrong_at(start, &format!("{name} is a reserved word; write '{name}'")));
                }
                name.to_owned()
            }
            _ => return Err(self.cursor.wrong("an atom is wanted")),
        };
        self.named(&name, start)?;
        Ok(name)
    }

    /// Terms with commas between, up to `close`; what opens them has been taken.
    fn elements(&mut self, depth: usize, close: &str) -> Parsed<Vec<Term>> {
        let mut elements = Vec::new();
        self.cursor.skip_blanks();
        if self.cursor.eat(close) {
            return Ok(elements);
        }
        loop {
            elements.push(self.term(depth.saturating_add(1))?);
            self.cursor.skip_blanks();
            if self.cursor.eat(close) {
                return Ok(elements);
            }
            if !self.cursor.eat(",") {
                return Err(self.cursor.wrong(&format!("a comma or {close} is wanted")));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Parsed<Term> {
        let mut elements = Vec::new();
        self.cursor.skip_blanks();
        if self.cursor.eat("]") {
            return Ok(list(elements));
        }
        loop {
            elements.push(self.term(depth.saturating_add(1))?);
            self.cursor.skip_blanks();
            if self.cursor.eat("]") {
                return Ok(list(elements));
            }
            if self.cursor.eat("|") {
                let tail = self.term(depth.saturating_add(1))?;
                self.cursor.expect("]")?;
                return Ok(with_tail(elements, tail));
            }
            if !self.cursor.eat(",") {
                return Err(self.cursor.wrong("a comma, | or ] is wanted"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Parsed<Term> {
        let mut pairs = Map { map: Default::default() };
        self.cursor.skip_blanks();
        if self.cursor.eat("}") {
            return Ok(pairs.into());
        }
        loop {
            let key = self.term(depth.saturating_add(1))?;
            self.cursor.expect("=>")?;
            let value = self.term(depth.saturating_add(1))?;
            pairs.map.insert(key, value);
            self.cursor.skip_blanks();
            if self.cursor.eat("}") {
                return Ok(pairs.into());
            }
            if !self.cursor.eat(",") {
                return Err(self.cursor.wrong("a comma or } is wanted"));
            }
        }
    }

    /// Strings that follow each other are one.
    fn string(&mut self) -> Parsed<Term> {
        if self.cursor.rest().starts_with("\"\"\"") {
            return Err(self.cursor.wrong("triple-quoted strings are not read here"));
        }
        let mut text = self.cursor.quoted('"')?;
        loop {
            self.cursor.skip_blanks();
            if self.cursor.peek() != Some('"') {
                break;
            }
            text += &self.cursor.quoted('"')?;
        }
        self.count(text.chars().count())?;
        Ok(string(&text))
    }

    fn number(&mut self) -> Parsed<Term> {
        let start = self.cursor.at();
        let is_negative = self.cursor.eat("-");
        if !is_negative {
            self.cursor.eat("+");
        }
        self.cursor.skip_blanks();
        if self.cursor.eat("$") {
            let code = i64::from(u32::from(self.cursor.char()?));
            return Ok(integer(if is_negative { -code } else { code }));
        }
        let digits = self.digits(10)?;
        let sign = if is_negative { "-" } else { "" };
        let fraction = self.cursor.rest().strip_prefix('.').and_then(|rest| rest.chars().next());
        if fraction.is_some_and(|c| c.is_ascii_digit()) {
            return self.float(&format!("{sign}{digits}"), start);
        }
        let (digits, base) = if self.cursor.eat("#") {
            let base = digits.parse().ok().filter(|base| (2..=36).contains(base));
            let base = base.ok_or_else(|| self.cursor.wrong_at(start, "a base is between 2 and 36"))?;
            (self.digits(base)?, base)
        } else {
            (digits, 10)
        };
        if self.cursor.peek().is_some_and(|c| is_atom_char(c) && c != '@') {
            return Err(self.cursor.wrong("not a digit of this number"));
        }
        // Not `BigInt::parse_bytes`: its logarithm alone would load the library of mathematics into every daemon.
        let value = digits.chars().filter_map(|c| c.to_digit(base)).fold(BigInt::ZERO, |value, c| value * base + c);
        Ok(of_any_size(if is_negative { -value } else { value }))
    }

    /// Digits, with single underscores between; at least one.
    fn digits(&mut self, base: u32) -> Parsed<String> {
        let start = self.cursor.at();
        let mut digits = String::new();
        loop {
            let more = self.cursor.take_while(|c| c.is_digit(base));
            if more.is_empty() {
                return Err(self.cursor.wrong("a digit is wanted"));
            }
            digits += more;
            if digits.len() > MAX_DIGITS {
                return Err(self.cursor.wrong_at(start, "too many digits"));
            }
            if !self.cursor.eat("_") {
                return Ok(digits);
            }
        }
    }

    fn float(&mut self, whole: &str, start: usize) -> Parsed<Term> {
        self.cursor.eat(".");
        let mut text = format!("{whole}.{}", self.digits(10)?);
        if self.cursor.eat("e") || self.cursor.eat("E") {
            text.push('e');
            if self.cursor.eat("-") {
                text.push('-');
            } else {
                self.cursor.eat("+");
            }
            text += &self.digits(10)?;
        }
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        Ok(Float { value: value.ok_or_else(|| self.cursor.wrong_at(start, "no float is so large"))? }.into())
    }

    /// After `<<`.
    fn binary(&mut self) -> Parsed<Term> {
        let mut bits = Bits::default();
        self.cursor.skip_blanks();
        if self.cursor.eat(">>") {
            return Ok(binary([]));
        }
        loop {
            self.segment(&mut bits)?;
            self.cursor.skip_blanks();
            if self.cursor.eat(">>") {
                return Ok(bits.into_term());
            }
            if !self.cursor.eat(",") {
                return Err(self.cursor.wrong("a comma or >> is wanted"));
            }
        }
    }

    fn segment(&mut self, bits: &mut Bits) -> Parsed<()> {
        self.cursor.skip_blanks();
        let start = self.cursor.at();
        if self.cursor.peek() == Some('"') {
            let text = self.cursor.quoted('"')?;
            let is_utf8 = self.is_utf8()?;
            for c in text.chars() {
                let byte = u8::try_from(u32::from(c));
                match byte {
                    _ if is_utf8 => bits.push_char(c),
                    Ok(byte) => bits.push(u64::from(byte), 8),
                    Err(_) => return Err(self.cursor.wrong_at(start, "characters beyond 255 need /utf8")),
                }
            }
            return Ok(());
        }
        let value = match self.number()? {
            Term::FixInteger(number) => i128::from(number.value),
            Term::BigInteger(number) => i128::try_from(number.value)
                .map_err(|_| self.cursor.wrong_at(start, "more than 64 bits in one segment"))?,
            _ => return Err(self.cursor.wrong_at(start, "bytes and strings only")),
        };
        self.cursor.skip_blanks();
        let size = if self.cursor.eat(":") { self.digits(10)?.parse::<u32>().ok() } else { Some(8) };
        let size = size.filter(|size| (1..=64).contains(size));
        let size = size.ok_or_else(|| self.cursor.wrong_at(start, "a segment has 1 to 64 bits"))?;
        if self.is_utf8()? {
            let char = u32::try_from(value).ok().and_then(char::from_u32);
            bits.push_char(char.ok_or_else(|| self.cursor.wrong_at(start, "not a character"))?);
            return Ok(());
        }
        let most = 1_i128 << size;
        if !(-most / 2..most).contains(&value) {
            return Err(self.cursor.wrong_at(start, &format!("{value} does not fit into {size} bits")));
        }
        // The lower bits; the others are the sign's.
        bits.push(u64::try_from(value.rem_euclid(most)).unwrap_or_default(), size);
        Ok(())
    }

    fn is_utf8(&mut self) -> Parsed<bool> {
        self.cursor.skip_blanks();
        if !self.cursor.eat("/") {
            return Ok(false);
        }
        self.cursor.skip_blanks();
        let start = self.cursor.at();
        match self.cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '-') {
            "utf8" => Ok(true),
            "integer" => Ok(false),
            _ => Err(self.cursor.wrong_at(start, "of the types of segments only utf8 and integer are read here")),
        }
    }

    /// After `fun`.
    fn fun(&mut self) -> Parsed<Term> {
        let module = self.atom()?;
        self.cursor.expect(":")?;
        let function = self.atom()?;
        self.cursor.expect("/")?;
        self.cursor.skip_blanks();
        let arity = self.number_below(u64::from(u8::MAX))?;
        let arity = u8::try_from(arity).unwrap_or_default();
        Ok(ExternalFun { module: Atom::from(module), function: Atom::from(function), arity }.into())
    }

    /// A pid, port or reference, in our own form.
    fn identifier(&mut self) -> Parsed<Term> {
        let start = self.cursor.at();
        self.cursor.next();
        let kind = self.cursor.take_while(|c| c.is_ascii_alphabetic());
        self.cursor.expect("<")?;
        let node = Atom::from(self.atom()?);
        let mut numbers = Vec::new();
        while self.cursor.eat(".") {
            let most = if kind == "Port" && numbers.is_empty() { u64::MAX } else { u64::from(u32::MAX) };
            numbers.push(self.number_below(most)?);
        }
        self.cursor.expect(">")?;
        let word = |number: &u64| u32::try_from(*number).unwrap_or_default();
        Ok(match (kind, numbers.as_slice()) {
            ("Pid", [id, serial, creation]) => {
                Pid { node, id: word(id), serial: word(serial), creation: word(creation) }.into()
            }
            ("Port", [id, creation]) => Port { node, id: *id, creation: word(creation) }.into(),
            ("Ref", [id @ .., creation]) if (1..=5).contains(&id.len()) => {
                Reference { node, id: id.iter().map(word).collect(), creation: word(creation) }.into()
            }
            _ => {
                let forms =
                    "#Pid<node.ID.SERIAL.CREATION>, #Ref<node.ID.CREATION> or #Port<node.ID.CREATION> is wanted";
                return Err(self.cursor.wrong_at(start, forms));
            }
        })
    }

    fn number_below(&mut self, most: u64) -> Parsed<u64> {
        let start = self.cursor.at();
        let number = self.digits(10)?.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| self.cursor.wrong_at(start, &format!("at most {most}")))
    }
}

/// `[Elements|Tail]`
fn with_tail(mut elements: Vec<Term>, tail: Term) -> Term {
    match tail {
        Term::List(tail) => {
            elements.extend(tail.elements);
            list(elements)
        }
        Term::ImproperList(tail) => {
            elements.extend(tail.elements);
            ImproperList { elements, last: tail.last }.into()
        }
        tail => ImproperList { elements, last: Box::new(tail) }.into(),
    }
}

/// In the form that decoding gives.
fn of_any_size(value: BigInt) -> Term {
    match i32::try_from(&value) {
        Ok(value) => FixInteger { value }.into(),
        Err(_) => BigInteger { value }.into(),
    }
}

const fn is_atom_start(c: char) -> bool {
    c.is_ascii_lowercase() || matches!(c, 'ß'..='ö' | 'ø'..='ÿ')
}

const fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ÿ')
}

/// Bits in order, the first is the highest of the first byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Used of the last byte; 0 is all.
    used: u8,
}

impl Bits {
    fn push(&mut self, value: u64, size: u32) {
        for bit in (0..size).rev() {
            let is_set = value >> bit & 1 == 1;
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut().filter(|_| is_set) {
                *last |= 0x80 >> self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn push_char(&mut self, c: char) {
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            self.push(u64::from(byte), 8);
        }
    }

    fn into_term(self) -> Term {
        match self.used {
            0 => binary(self.bytes),
            tail_bits_size => BitBinary { bytes: self.bytes, tail_bits_size }.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::atom;

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_vintage_net_is_told() {
        let request = parse("{set_route, \"eth0\", [{{192,168,1,50}, 24}], {192,168,1,1}}.").unwrap();
        let ip = |last| tuple([192, 168, 1, last].map(integer));
        let subnets = list([tuple([ip(50), integer(24)])]);
        assert_eq!(request, tuple([atom("set_route"), string("eth0"), subnets, ip(1)]));
    }

    #[test]
    fn numbers() {
        for (text, value) in [("16#fF", 255), ("1_000", 1000), ("- 2#101", -5), ("$a", 97), ("$\\n", 10), ("+7", 7)] {
            assert_eq!(parse(text), Ok(integer(value)), "{text}");
        }
        assert_eq!(parse("1.5e-3"), Ok(Float { value: 0.0015 }.into()));
        assert_eq!(wrong("1__0"), "column 3: a digit is wanted");
        assert_eq!(wrong("37#1"), "column 1: a base is between 2 and 36");
        assert_eq!(wrong("12ab"), "column 3: not a digit of this number");
        assert_eq!(wrong("1.0e999"), "column 1: no float is so large");
    }

    #[test]
    fn binaries() {
        assert_eq!(parse("<<\"aé\"/utf8, 1, -1>>"), Ok(binary([b'a', 0xc3, 0xa9, 1, 255])));
        assert_eq!(parse("<<\"é\">>"), Ok(binary([0xe9])));
        assert_eq!(parse("<<5:3>>"), Ok(BitBinary { bytes: vec![0xa0], tail_bits_size: 3 }.into()));
        assert_eq!(wrong("<<256>>"), "column 3: 256 does not fit into 8 bits");
        assert_eq!(wrong("<<\"λ\">>"), "column 3: characters beyond 255 need /utf8");
        assert_eq!(wrong("<<1.5>>"), "column 3: bytes and strings only");
    }

    #[test]
    fn errors_say_where_and_what_to_write() {
        assert_eq!(wrong("{set_route, Eth0}"), "column 13: variables have no values here; the atom is written 'Eth0'");
        assert_eq!(wrong("end"), "column 1: end is a reserved word; the atom is written 'end'");
        assert_eq!(wrong("{a, b"), "column 6: a comma or } is wanted");
        assert_eq!(wrong("'a"), "column 1: the closing ' is missing");
        assert_eq!(wrong("a b"), "column 3: the term has ended here, and more comes");
        assert_eq!(wrong(""), "column 1: a term is wanted, the text ends");
        assert_eq!(wrong("<0.1.2>"), "column 1: a pid is written #Pid<'node@host'.ID.SERIAL.CREATION>");
        assert_eq!(wrong("#{a => }"), "column 8: no term begins with '}'");
        assert!(wrong(&"[".repeat(1000)).ends_with("nested too deeply"));
        assert!(wrong(&format!("'{}'", "a".repeat(256))).ends_with("at most 255 characters"));
        assert!(wrong(&"9".repeat(20_000)).ends_with("too many digits"));
    }

    #[test]
    fn functions() {
        let apply = |function: &str, args| Call::Apply { module: "lists".into(), function: function.into(), args };
        assert_eq!(parse_call("lists:reverse([1])."), Ok(apply("reverse", vec![list([integer(1)])])));
        assert_eq!(parse_call("'lists' : 'no'()"), Ok(apply("no", vec![])));
        assert_eq!(parse_call("status"), Ok(Call::Request(atom("status"))));
        assert!(parse_call("node()").unwrap_err().to_string().contains("Module:Function(Args)"));
    }
}
