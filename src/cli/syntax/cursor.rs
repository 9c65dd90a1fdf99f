//! A place in the text, and the words at it: what `erl_scan` does.

/// Why a text is no term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct SyntaxError {
    /// Where, in characters, counted from 1.
    pub column: usize,
    /// Why not.
    pub reason: String,
}

pub(super) struct Cursor<'a> {
    text: &'a str,
    /// In bytes; always between two characters.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at = self.at.saturating_add(next.len_utf8());
        Some(next)
    }

    /// Blanks and comments.
    pub(super) fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            if c == '%' {
                self.take_while(|c| c != '\n');
            } else if c <= ' ' || ('\u{80}'..='\u{a0}').contains(&c) {
                self.next();
            } else {
                break;
            }
        }
    }

    pub(super) fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_wanted(c)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    /// Takes `word` if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        if is_next {
            self.at = self.at.saturating_add(word.len());
        }
        is_next
    }

    /// Takes `word`, after blanks.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), SyntaxError> {
        self.skip_blanks();
        if self.eat(word) { Ok(()) } else { Err(self.wrong(&format!("{word} is wanted, {}", self.found()))) }
    }

    fn found(&self) -> String {
        self.peek().map_or_else(|| "the text ends".to_owned(), |c| format!("not {c:?}"))
    }

    pub(super) fn wrong(&self, reason: &str) -> SyntaxError {
        self.wrong_at(self.at, reason)
    }

    pub(super) fn wrong_at(&self, at: usize, reason: &str) -> SyntaxError {
        let before = self.text.get(..at).unwrap_or(self.text);
        SyntaxError { column: before.chars().count().saturating_add(1), reason: reason.to_owned() }
    }

    /// What stands between two `quote`s, the first of which comes next.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let start = self.at;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
                None => return Err(self.wrong_at(start, &format!("the closing {quote} is missing"))),
            }
        }
    }

    /// A character after `$`.
    pub(super) fn char(&mut self) -> Result<char, SyntaxError> {
        match self.next() {
            Some('\\') => self.escape(),
            Some(c) => Ok(c),
            None => Err(self.wrong("a character is wanted after $")),
        }
    }

    /// After a backslash (`erl_scan:scan_escape/2`).
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at.saturating_sub(1);
        let wrong = |cursor: &Self| cursor.wrong_at(start, "no character has this escape");
        let c = self.next().ok_or_else(|| wrong(self))?;
        Ok(match c {
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    self.next();
                    code = code.saturating_mul(8).saturating_add(digit);
                }
                char::from_u32(code).ok_or_else(|| wrong(self))?
            }
            'x' => {
                let is_braced = self.eat("{");
                let rest = self.take_hex(if is_braced { 8 } else { 2 });
                let is_whole = if is_braced { self.eat("}") } else { rest.len() == 2 };
                let code = u32::from_str_radix(rest, 16).ok().filter(|_| is_whole);
                code.and_then(char::from_u32).ok_or_else(|| wrong(self))?
            }
            '^' => {
                let control = self.next().filter(|c| ('@'..='_').contains(c) || c.is_ascii_lowercase());
                let code = control.ok_or_else(|| wrong(self))? as u32;
                char::from_u32(code & 31).ok_or_else(|| wrong(self))?
            }
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'e' => '\u{1b}',
            's' => ' ',
            'd' => '\u{7f}',
            other => other,
        })
    }

    fn take_hex(&mut self, most: usize) -> &'a str {
        let rest = self.rest();
        let end = rest.bytes().take(most).take_while(u8::is_ascii_hexdigit).count();
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }
}
