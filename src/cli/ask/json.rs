//! Terms of our own answers as JSON: atoms and binaries are strings, `nil` is null, addresses are text, other tuples arrays.

use serde_json::{Map, Value};

use crate::term::{Show, Term, as_integer, as_ip, as_text};

/// Pretty, with a line end.
pub(in crate::cli) fn text(term: &Term) -> String {
    format!("{:#}\n", to_json(term))
}

/// The same value, to be put into others.
pub(in crate::cli) fn to_json(term: &Term) -> Value {
    match term {
        Term::Atom(atom) => match atom.name.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "nil" => Value::Null,
            name => Value::String(name.to_owned()),
        },
        Term::FixInteger(_) | Term::BigInteger(_) => as_integer(term).map_or(Value::Null, Value::from),
        Term::Float(float) => Value::from(float.value),
        Term::Binary(binary) => Value::String(String::from_utf8_lossy(&binary.bytes).into_owned()),
        Term::List(list) => Value::Array(list.elements.iter().map(to_json).collect()),
        Term::Tuple(tuple) => match as_ip(term) {
            Some(ip) => Value::String(ip.to_string()),
            None => Value::Array(tuple.elements.iter().map(to_json).collect()),
        },
        Term::Map(map) => {
            let pairs = map.map.iter().map(|(key, value)| (key_of(key), to_json(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => Value::String(Show(other).to_string()),
    }
}

fn key_of(key: &Term) -> String {
    match key {
        Term::Atom(atom) => atom.name.clone(),
        key => as_text(key).map_or_else(|| Show(key).to_string(), |text| String::from_utf8_lossy(&text).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{atom, binary, boolean, integer, list, map, tuple};

    #[test]
    fn terms_of_a_status_map() {
        let ip = tuple([integer(10), integer(0), integer(0), integer(1)]);
        let entry = tuple([atom("rule"), integer(100), ip.clone()]);
        let eth0 = map([(atom("metric"), integer(10)), (atom("why"), atom("nil")), (atom("default_gateway"), ip)]);
        let status = map([
            (atom("interfaces"), map([(binary("eth0"), eth0)])),
            (atom("entries"), list([entry])),
            (atom("ok"), boolean(true)),
        ]);
        let expected = serde_json::json!({
            "interfaces": {"eth0": {"metric": 10, "why": null, "default_gateway": "10.0.0.1"}},
            "entries": [["rule", 100, "10.0.0.1"]],
            "ok": true,
        });
        assert_eq!(to_json(&status), expected);
    }
}
