//! The port mapper, from both sides.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use beamroute::epmd::codec::{MAX_BODY, Reply, Request, RequestReader, parse_names};
use beamroute::epmd::registry::Registry;
use erl_dist::epmd::{EpmdClient, NodeEntry};
use futures_io::{AsyncRead, AsyncWrite};

use super::bytes::Input;

pub const WORDS: &[&[u8]] = &[
    &[0, 1, 110],
    &[0, 1, 100],
    &[0, 1, 107],
    &[0, 5, 122, b'n', b'o', b'd', b'e'],
    &[120, 0x13, 0x88, 77, 0, 0, 6, 0, 6, 0, 1, b'a', 0, 0],
    &[118, 0, 0, 0, 0, 4],
    &[121, 0, 0, 1],
    &[119, 0, 0x13, 0x88, 77, 0, 0, 6, 0, 6, 0, 1, b'a', 0, 0],
    &[119, 1],
    &[0, 0, 0x11, 0x11],
    b"name a at port 5000\n",
    b" at port ",
    &[77],
    &[72],
];

/// Connections, each a request in pieces, to one mapper.
pub fn server(input: &[u8]) {
    let mut input = Input(input);
    let mut registry = Registry::new(2, 4);
    for connection in 0..4 {
        let (mut cut, mut whole, mut stream) = (RequestReader::default(), RequestReader::default(), Vec::new());
        let mut outcome = Ok(None);
        for _ in 0..input.byte() % 8 {
            let Some(piece) = input.piece() else { break };
            stream.extend(piece);
            match outcome {
                // After a request, only its surplus counts.
                Ok(None) => outcome = cut.push(piece),
                Ok(Some(_)) if !piece.is_empty() => outcome = cut.push(piece),
                _ => {}
            }
        }
        assert_eq!(whole.push(&stream).is_err(), outcome.is_err(), "it depends on how the bytes are cut");
        let Ok(Some(request)) = outcome else { continue };
        let bytes = request.encode().expect("what we take, we can say");
        assert_eq!(Request::decode_body(&bytes[2..]).as_ref(), Ok(&request));
        assert!(bytes.len() <= MAX_BODY + 2);
        answer(&mut registry, connection, request);
    }
    let text = registry.names_text();
    assert!(parse_names(&text).expect("our own listing").len() <= 2);
    registry.dump_text();
}

fn answer(registry: &mut Registry, connection: u64, request: Request) {
    match request {
        Request::Alive2(entry) => {
            let name = entry.name.clone();
            if registry.register(connection, entry).is_ok() {
                assert!(registry.find(&name).is_some());
            }
        }
        Request::Port2(name) => {
            if let Some(entry) = registry.find(&name) {
                let reply = Reply::Port2(entry.clone());
                let bytes = reply.encode().expect("a registered entry");
                assert_eq!(Reply::decode(&bytes, true), Ok(Some(reply)));
            }
        }
        Request::Stop(_) => drop(registry.release(connection)),
        Request::Names | Request::Dump | Request::Kill => {}
    }
}

/// What a mapper answers: to our own decoder, and to the client that asks for names, ports and registrations.
pub fn client(input: &[u8]) {
    let by_now = Reply::decode(input, false);
    let at_end = Reply::decode(input, true);
    if let Ok(Some(reply)) = &by_now {
        assert_eq!(at_end.as_ref(), Ok(&Some(reply.clone())), "the end changes nothing");
    }
    if let Ok(Some(Reply::Listing { text, .. })) = &at_end {
        let _ = parse_names(text);
    }
    if let Ok(Some(reply)) = at_end
        && let Ok(bytes) = reply.encode()
    {
        assert_eq!(Reply::decode(&bytes, true), Ok(Some(reply)));
    }
    let _ = now(EpmdClient::new(Answer(input)).get_names());
    let _ = now(EpmdClient::new(Answer(input)).get_node("a"));
    let _ = now(EpmdClient::new(Answer(input)).register(NodeEntry::new("a", 5000)));
}

/// A connection on which the answer is there already, and questions go nowhere.
#[derive(Debug)]
struct Answer<'a>(&'a [u8]);

impl AsyncRead for Answer<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(std::io::Read::read(&mut self.0, out))
    }
}

impl AsyncWrite for Answer<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The outcome of what never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits for nothing"),
    }
}
