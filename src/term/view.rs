//! Looking into terms without taking them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eetf::Term;

/// The elements of a tuple of exactly `N`.
#[must_use]
pub fn as_tuple<const N: usize>(term: &Term) -> Option<&[Term; N]> {
    match term {
        Term::Tuple(tuple) => tuple.elements.as_slice().try_into().ok(),
        _ => None,
    }
}

/// The elements of a proper list.
#[must_use]
pub fn as_list(term: &Term) -> Option<&[Term]> {
    match term {
        Term::List(list) => Some(&list.elements),
        _ => None,
    }
}

/// Whether this is the empty list.
#[must_use]
pub fn is_nil(term: &Term) -> bool {
    as_list(term).is_some_and(<[Term]>::is_empty)
}

/// The name of an atom.
#[must_use]
pub fn as_atom(term: &Term) -> Option<&str> {
    match term {
        Term::Atom(atom) => Some(&atom.name),
        _ => None,
    }
}

/// An integer that fits in 64 bits.
#[must_use]
pub fn as_integer(term: &Term) -> Option<i64> {
    match term {
        Term::FixInteger(integer) => Some(i64::from(integer.value)),
        Term::BigInteger(integer) => i64::try_from(&integer.value).ok(),
        _ => None,
    }
}

/// An address as `inet` has it: a tuple of 4 bytes or 8 words.
#[must_use]
pub fn as_ip(term: &Term) -> Option<IpAddr> {
    if let Some(fields) = as_tuple::<4>(term) {
        return Some(Ipv4Addr::from(numbers::<4, u8>(fields)?).into());
    }
    Some(Ipv6Addr::from(numbers::<8, u16>(as_tuple(term)?)?).into())
}

fn numbers<const N: usize, T: TryFrom<i64> + Copy + Default>(fields: &[Term; N]) -> Option<[T; N]> {
    let mut numbers = [T::default(); N];
    for (number, field) in numbers.iter_mut().zip(fields) {
        *number = T::try_from(as_integer(field)?).ok()?;
    }
    Some(numbers)
}

/// The bytes of a text: a binary as it is, a list of characters in UTF-8. Neither atoms nor nested lists are texts.
#[must_use]
pub fn as_text(term: &Term) -> Option<Vec<u8>> {
    match term {
        Term::Binary(binary) => Some(binary.bytes.clone()),
        Term::List(list) => {
            let char = |term| as_integer(term).and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32);
            list.elements.iter().map(char).collect::<Option<String>>().map(String::into_bytes)
        }
        _ => None,
    }
}
