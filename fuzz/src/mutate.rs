//! Inputs out of inputs.

use crate::Target;

/// A pseudo-random sequence that its seed decides (xorshift64*): a run can be repeated.
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() >> 16) as usize % end.max(1)
    }

    /// One of `items`.
    pub fn one<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// Changes `input` one to eight times; `others` are the corpus.
pub fn mutate(input: &mut Vec<u8>, target: &Target, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 << random.below(4) {
        once(input, target, others, random);
    }
    input.truncate(target.max_bytes);
}

fn once(input: &mut Vec<u8>, target: &Target, others: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(13) {
        0 => change(input, at, |byte| byte ^ (1 << random.below(8))),
        1 => change(input, at, |_| random.number() as u8),
        2 => change(input, at, |byte| byte.wrapping_add(random.below(17) as u8).wrapping_sub(8)),
        3 => {
            let len = 1 << random.below(4);
            let bytes: Vec<u8> = (0..len).map(|_| random.number() as u8).collect();
            insert(input, at, &bytes);
        }
        4 => remove(input, at, 1 + random.below(8)),
        5 => remove(input, at, random.below(input.len() + 1)),
        6 => length(input, at, random),
        7 => {
            let piece = piece(input, random);
            insert(input, at, &piece);
        }
        8 | 9 => match random.one(target.words) {
            Some(word) if random.below(2) == 0 => insert(input, at, word),
            Some(word) => overwrite(input, at, word),
            None => {}
        },
        10 => {
            if let Some(other) = random.one(others) {
                let piece = piece(other, random);
                if random.below(2) == 0 { insert(input, at, &piece) } else { overwrite(input, at, &piece) }
            }
        }
        11 => {
            if let Some(other) = random.one(others) {
                input.truncate(at);
                input.extend(&other[random.below(other.len())..]);
            }
        }
        _ => {
            if target.has_terms {
                let mut term = Vec::new();
                a_term(&mut term, random, 4);
                insert(input, at, &term);
            } else {
                let piece = piece(input, random).repeat(1 + random.below(64));
                insert(input, at, &piece);
            }
        }
    }
}

fn change(input: &mut [u8], at: usize, f: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = f(*byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

fn overwrite(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(input.len());
    input.splice(at..end, bytes.iter().copied());
}

fn remove(input: &mut Vec<u8>, at: usize, len: usize) {
    input.drain(at..(at + len).min(input.len()));
}

fn piece(input: &[u8], random: &mut Random) -> Vec<u8> {
    let at = random.below(input.len());
    let len = random.below((input.len() - at.min(input.len())).min(64) + 1);
    input[at..at + len].to_vec()
}

/// A length or count that lies about what is there, or tells the truth.
fn length(input: &mut [u8], at: usize, random: &mut Random) {
    let left = (input.len() - at) as u32;
    let edges = [0, 1, 2, 4, 255, 256, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];
    let value = match random.below(3) {
        0 => left.wrapping_sub(random.below(9) as u32),
        1 => random.below(64) as u32,
        _ => edges[random.below(edges.len())],
    };
    let bytes = match random.below(5) {
        0 => vec![value as u8],
        1 => (value as u16).to_be_bytes().to_vec(),
        2 => (value as u16).to_le_bytes().to_vec(),
        3 => value.to_be_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    for (to, from) in input[at..].iter_mut().zip(bytes) {
        *to = from;
    }
}

/// Appends a term of the External Term Format, without version byte, at most so deep.
pub fn a_term(out: &mut Vec<u8>, random: &mut Random, depth: usize) {
    let kinds = if depth == 0 { 10 } else { 17 };
    match random.below(kinds) {
        0 => out.extend([97, random.number() as u8]),
        1 => {
            out.push(98);
            out.extend((random.number() as u32).to_be_bytes());
        }
        2 => {
            out.push(70);
            out.extend((random.below(1000) as f64 / 7.0 - 50.0).to_be_bytes());
        }
        3 => {
            let len = random.below(12);
            out.extend([110, len as u8, random.below(2) as u8]);
            out.extend((0..len).map(|_| random.number() as u8));
        }
        4 => an_atom(out, random),
        5 => {
            let len = random.below(20);
            out.push(109);
            out.extend((len as u32).to_be_bytes());
            out.extend((0..len).map(|_| random.number() as u8));
        }
        6 => out.push(106),
        7 => {
            let len = random.below(20);
            out.push(107);
            out.extend((len as u16).to_be_bytes());
            out.extend((0..len).map(|_| random.number() as u8));
        }
        8 => a_pid(out, random),
        9 => {
            let words = 1 + random.below(5);
            out.extend([90, 0, words as u8]);
            an_atom(out, random);
            out.extend((0..4 + 4 * words).map(|_| random.below(3) as u8));
        }
        10..=12 => {
            let len = random.below(5);
            out.extend([104, len as u8]);
            (0..len).for_each(|_| a_term(out, random, depth - 1));
        }
        13 | 14 => {
            let len = random.below(5);
            out.push(108);
            out.extend((len as u32).to_be_bytes());
            (0..len).for_each(|_| a_term(out, random, depth - 1));
            if random.below(4) == 0 { a_term(out, random, depth - 1) } else { out.push(106) }
        }
        15 => {
            let len = random.below(4);
            out.push(116);
            out.extend((len as u32).to_be_bytes());
            (0..2 * len).for_each(|_| a_term(out, random, depth - 1));
        }
        _ => a_fun(out, random, depth),
    }
}

fn an_atom(out: &mut Vec<u8>, random: &mut Random) {
    let names: [&[u8]; 6] = [b"", b"ok", b"a@b", b"alias", b"\xc3\xa9", b"$gen_call"];
    let name = names[random.below(names.len())];
    match random.below(4) {
        0 => out.extend([118, 0, name.len() as u8]),
        1 => out.extend([115, name.len() as u8]),
        _ => out.extend([119, name.len() as u8]),
    }
    out.extend(name);
}

fn a_pid(out: &mut Vec<u8>, random: &mut Random) {
    out.push(88);
    an_atom(out, random);
    out.extend((0..12).map(|_| random.below(3) as u8));
}

fn a_fun(out: &mut Vec<u8>, random: &mut Random, depth: usize) {
    if random.below(2) == 0 {
        out.push(113);
        an_atom(out, random);
        an_atom(out, random);
        return out.extend([97, random.below(9) as u8]);
    }
    let free = random.below(3);
    out.push(112);
    out.extend([0; 4 + 1 + 16 + 4]);
    out.extend((free as u32).to_be_bytes());
    an_atom(out, random);
    out.extend([97, 1, 98, 0, 0, 0, 1]);
    a_pid(out, random);
    (0..free).for_each(|_| a_term(out, random, depth - 1));
}
