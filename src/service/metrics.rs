//! `--metrics`: a page for Prometheus over HTTP/1.1.
//!
//! Our own few lines and no hyper: there is one page, made at once, for a client that asks every few seconds. Each
//! connection is one request, has [`PATIENCE`] for all of it, and is one of [`PLACES`]; a newcomer who finds none ends
//! the oldest, so neither slow readers nor those who say nothing keep the next from its page. Routes never wait for it.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::ServiceError;
use super::supervision::routes;
use crate::listening;
use crate::metrics::{Gauges, Process, Routes, page, switch_on};
use crate::node::Node;

/// For a request and its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the owner of the routes is waited for. Without its answer the page has no routes.
const OWNERS_PATIENCE: Duration = Duration::from_secs(2);

/// Connections at once.
const PLACES: usize = 16;

/// Bytes in the head of a request.
const MAX_HEAD: usize = 8 << 10;

/// After a failed accept, for want of file descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the port, which may need privileges. From now on calls are counted.
///
/// # Errors
/// [`ServiceError::Metrics`].
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    let listener = listening::listen(address, false).map_err(|source| ServiceError::Metrics { address, source })?;
    Process::started();
    switch_on();
    Ok(listener)
}

/// Serves until its task is aborted.
pub(super) async fn serve(listener: TcpListener, node: Node) {
    let (listener, address) = match tokio::net::TcpListener::from_std(listener).map(|it| (it.local_addr(), it)) {
        Ok((address, listener)) => (listener, address),
        Err(error) => return warn!(%error, "metrics cannot be served"),
    };
    if let Ok(address) = address {
        info!(%address, "serving metrics");
    }
    let owner = Owner::of(node.clone());
    let mut under_way: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                under_way.retain(|other| !other.is_finished());
                if under_way.len() >= PLACES {
                    debug!(%from, "too many connections for metrics; the oldest ends");
                    under_way.pop_front().inspect(AbortHandle::abort);
                }
                let (node, owner) = (node.clone(), owner.clone());
                let answered = async move {
                    if timeout(PATIENCE, answer(stream, &node, &owner)).await.is_err() {
                        debug!(%from, "too slow for metrics");
                    }
                };
                under_way.push_back(tokio::spawn(answered).abort_handle());
                // There may be more, perhaps without end.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                debug!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The owner of the routes, asked for all clients at once: what lies in its mailbox for them is never more than one question,
/// however many come and go.
#[derive(Debug, Clone)]
struct Owner(mpsc::Sender<oneshot::Sender<Option<Routes>>>);

impl Owner {
    /// Asks as long as somebody may want to know.
    fn of(node: Node) -> Self {
        let (wants, mut wanted) = mpsc::channel::<oneshot::Sender<Option<Routes>>>(PLACES);
        tokio::spawn(async move {
            while let Some(first) = wanted.recv().await {
                let answer = routes(&node, OWNERS_PATIENCE).await;
                let _ = first.send(answer);
                while let Ok(other) = wanted.try_recv() {
                    let _ = other.send(answer);
                }
            }
        });
        Self(wants)
    }

    async fn routes(&self) -> Option<Routes> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok().flatten()
    }
}

/// One request, one answer. What goes wrong on the way is the client's affair.
async fn answer(mut stream: TcpStream, node: &Node, owner: &Owner) {
    let mut head = Vec::new();
    let answer = match read_head(&mut stream, &mut head).await {
        None => return,
        Some(Err(status)) => Answer::refusal(status),
        Some(Ok(())) => match wanted(&head) {
            Ok(method) => Answer { has_body: method != "HEAD", ..Answer::page(node, owner).await },
            Err(status) => Answer::refusal(status),
        },
    };
    if stream.write_all(answer.to_text().as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        // Closing with bytes unread would make the kernel take the answer back.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    }
}

/// Reads up to the empty line; `None` if the client goes before it.
async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> Option<Result<(), &'static str>> {
    let mut buffer = [0; 1024];
    loop {
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(buffer.get(..length)?);
        if head.len() > MAX_HEAD {
            return Some(Err("431 Request Header Fields Too Large"));
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Some(Ok(()));
        }
    }
}

/// The method, if the page is what it asks for; else the status.
fn wanted(head: &[u8]) -> Result<&str, &'static str> {
    const BAD: &str = "400 Bad Request";
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| BAD)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(BAD);
    }
    if target.split('?').next() != Some("/metrics") {
        return Err("404 Not Found");
    }
    if matches!(method, "GET" | "HEAD") { Ok(method) } else { Err("405 Method Not Allowed") }
}

#[derive(Debug)]
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
    has_body: bool,
}

impl Answer {
    async fn page(node: &Node, owner: &Owner) -> Self {
        let gauges =
            Gauges { routes: owner.routes().await, connections: node.nodes(|_| true).len(), process: Process::look() };
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { status: "200 OK", content_type, body: page(&gauges), has_body: true }
    }

    fn refusal(status: &'static str) -> Self {
        let body = format!("{status}\nThere is one page here: GET /metrics\n");
        Self { status, content_type: "text/plain; charset=utf-8", body, has_body: true }
    }

    fn to_text(&self) -> String {
        let Self { status, content_type, body, has_body } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let body = if *has_body { body } else { "" };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}\
             Connection: close\r\n\r\n{body}"
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::node::{Cookie, Message, NodeConfig};
    use crate::route_manager::counts_request;
    use crate::term::{integer, tuple};

    /// The owner is busy: it takes no message, and what lies in its mailbox is counted.
    #[tokio::test]
    async fn however_many_ask_the_owner_has_one_question() {
        const CLIENTS: usize = 12;
        let node = Node::new(NodeConfig::new(&Cookie::parse(b"c", "test").unwrap()));
        let mut owner = node.spawn();
        assert!(owner.register("route_manager"));
        let listener = listening::listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, node.clone()));
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
            clients.push(client);
        }
        let mut questions = VecDeque::new();
        let end = Instant::now() + OWNERS_PATIENCE / 4;
        while Instant::now() < end {
            while let Some(message) = owner.try_receive() {
                let Message::Call(caller, request) = message else { panic!("{message:?}") };
                assert_eq!(request, counts_request());
                questions.push_back(caller);
            }
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(questions.len(), 1);
        questions.pop_front().unwrap().reply(tuple([5, 4, 2, 1].map(integer)));
        for mut client in clients {
            let mut page = String::new();
            client.read_to_string(&mut page).await.unwrap();
            assert!(page.contains("\nbeamroute_routes_installed 4\n"), "{page}");
        }
        assert!(owner.try_receive().is_none(), "the answer was for all who waited");
        serving.abort();
    }

    #[test]
    fn what_is_asked_for() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Ok("GET")),
            ("HEAD /metrics?x=1 HTTP/1.0\r\n\r\n", Ok("HEAD")),
            ("POST /metrics HTTP/1.1\r\n\r\n", Err("405 Method Not Allowed")),
            ("GET / HTTP/1.1\r\n\r\n", Err("404 Not Found")),
            ("GET /metricsx HTTP/1.1\r\n\r\n", Err("404 Not Found")),
            ("GET /metrics\r\n\r\n", Err("400 Bad Request")),
            ("GET /metrics HTTP/2.0\r\n\r\n", Err("400 Bad Request")),
            ("GET metrics HTTP/1.1\r\n\r\n", Err("400 Bad Request")),
            ("\r\n\r\n", Err("400 Bad Request")),
        ] {
            assert_eq!(wanted(head.as_bytes()), expected, "{head:?}");
        }
        assert!(wanted(b"GET /\xff HTTP/1.1\r\n\r\n").is_err());
    }
}
