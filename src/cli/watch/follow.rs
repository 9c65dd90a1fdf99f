//! Stays with a node over its restarts: connects, subscribes, and tells what it hears.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::ask::{AskError, Asker, PATIENCE, Question};
use crate::config::Config;
use crate::node::{CallError, Message, Process};
use crate::term::{Show, Term, as_atom, atom};

/// What there is to show.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum News {
    /// We are subscribed; the events that follow say how things stand.
    Connected,
    /// The node is gone, and why.
    Gone(String),
    /// A message to a subscriber.
    Event(Term),
    /// The `status` map.
    Status(Term),
}

/// Between an event and the question how things stand now: events come in groups.
const CALM: Duration = Duration::from_millis(50);

/// What no event tells (how long ago something was, other nodes) is asked so often.
const REFRESH: Duration = Duration::from_secs(2);

/// Between attempts to connect again.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows the node to which `asker` has connected; ends only with an error that no patience heals, or when nobody listens.
pub(in crate::cli) async fn follow(
    config: &Config,
    asker: Asker,
    news: mpsc::Sender<News>,
    with_status: bool,
) -> AskError {
    let mut pause = PAUSE;
    loop {
        let why = match session(&asker, &news, with_status, &mut pause).await {
            Ok(why) => why,
            Err(error) if is_passing(&error) => error.to_string(),
            Err(error) => return error,
        };
        let _ = news.send(News::Gone(why)).await;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match asker.dial(config).await {
                Ok(()) => break,
                Err(error) if is_passing(&error) => {}
                Err(error) => return error,
            }
        }
    }
}

/// Whether a restart may end it.
const fn is_passing(error: &AskError) -> bool {
    matches!(error, AskError::NoNode(_) | AskError::NoAnswer { .. })
}

/// One connection, until it ends; says why.
async fn session(
    asker: &Asker,
    news: &mpsc::Sender<News>,
    with_status: bool,
    pause: &mut Duration,
) -> Result<String, AskError> {
    let mut process = asker.node.spawn();
    subscribe(asker, &mut process).await?;
    *pause = PAUSE;
    let _ = news.send(News::Connected).await;
    let mut ask_at = Instant::now();
    loop {
        tokio::select! {
            message = process.receive() => match message {
                Some(Message::Info(event)) => {
                    let _ = news.send(News::Event(event)).await;
                    ask_at = ask_at.min(Instant::now() + CALM);
                }
                Some(Message::Down { reason, .. }) => return Ok(reason_of(&reason)),
                Some(_) => {}
                None => return Ok("our own node has stopped".to_owned()),
            },
            () = sleep_until(ask_at), if with_status => {
                let status = asker.ask(Question::Status.request()).await?;
                let _ = news.send(News::Status(status)).await;
                ask_at = Instant::now() + REFRESH;
            }
        }
    }
}

async fn subscribe(asker: &Asker, process: &mut Process) -> Result<(), AskError> {
    let manager = ("route_manager", asker.peer.as_str());
    process.monitor(manager).await;
    let answer = process.call(manager, atom("subscribe"), PATIENCE).await;
    let no_answer = |error: CallError| AskError::NoAnswer { node: asker.peer.clone(), to: manager.0.to_owned(), error };
    let answer = answer.map_err(no_answer)?;
    if as_atom(&answer) == Some("ok") {
        return Ok(());
    }
    Err(AskError::Error { node: asker.peer.clone(), answer: Show(&answer).to_string() })
}

fn reason_of(reason: &Term) -> String {
    match as_atom(reason) {
        Some("noconnection") => "the connection is lost".to_owned(),
        Some("normal" | "shutdown") => "it was stopped".to_owned(),
        _ => Show(reason).to_string(),
    }
}
