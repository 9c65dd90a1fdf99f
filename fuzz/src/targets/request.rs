//! What `route_manager` is asked.

use beamroute::route_manager::{Refusal, Request};
use beamroute::term::{Limits, Term, as_atom, decode};

pub const WORDS: &[&[u8]] = &[
    b"\x68\x04\x77\x09set_route",
    b"\x68\x02\x77\x0bclear_route",
    b"\x68\x03\x77\x15set_connection_status",
    b"\x68\x04\x77\x15set_connection_status",
    b"\x77\x15refresh_route_metrics",
    b"\x68\x03\x77\x0aset_metric",
    b"\x68\x02\x77\x10set_owner_policy",
    b"\x68\x02\x77\x0bclear_after\x61\x05",
    b"\x68\x02\x77\x09lan_after\x61\x05",
    b"\x68\x02\x77\x03get",
    b"\x77\x06status",
    b"\x77\x04plan",
    b"\x68\x02\x77\x09subscribe",
    b"\x68\x02\x77\x0bunsubscribe",
    b"\x6d\x00\x00\x00\x04eth0",
    b"\x6b\x00\x04eth0",
    b"\x77\x04eth0",
    b"\x77\x08internet",
    b"\x77\x03lan",
    b"\x77\x0cdisconnected",
    b"\x77\x03nil",
    b"\x77\x08disabled",
    b"\x77\x07default",
    b"\x68\x04\x61\xc0\x61\xa8\x61\x01\x61\x32",
    b"\x68\x08\x61\xfd\x61\x00\x61\x00\x61\x00\x61\x00\x61\x00\x61\x00\x61\x01",
    b"\x6b\x00\x0b192.168.1.1",
    b"\x6d\x00\x00\x00\x07fd00::1",
    b"\x6c\x00\x00\x00\x01\x68\x02\x68\x04\x61\x0a\x61\x00\x61\x00\x61\x05\x61\x18\x6a",
    b"\x62\x7f\xff\xff\xff",
    b"\x6e\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// A term without its version byte.
pub fn run(input: &[u8]) {
    let Ok(term) = decode(&[&[131], input].concat(), Limits::default()) else { return };
    let request = Request::from_call(&term);
    match &request {
        Ok(request) => {
            let _ = (request.is_read(), request.about());
            assert_eq!(Request::from_call(&term).as_ref(), Ok(request));
        }
        Err(Refusal::Unknown) => {}
        Err(Refusal::BadArgument(why)) => assert!(why.len() < 16 << 10, "a refusal of {} bytes", why.len()),
    }
    if let Term::Tuple(tuple) = &term
        && let Some((name, arguments)) = tuple.elements.split_first()
        && let Some(name) = as_atom(name)
        && !arguments.is_empty()
    {
        assert_eq!(Request::from_function(name, arguments), request);
    }
}
