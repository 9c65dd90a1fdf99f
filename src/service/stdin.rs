//! The end of standard input, for a daemon that ends with whoever started it.
//!
//! Whoever holds the other end of the pipe, the kernel closes it when they end, also after `kill -9`. That is why this is
//! surer than any signal that they would have to send.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Resolves when standard input has ended.
pub(super) type End = oneshot::Receiver<()>;

/// Watches standard input from now on.
///
/// On a thread of its own, and not one of the runtime's: that would wait for the read when it ends.
///
/// # Errors
/// If there can be no thread.
pub(super) fn end() -> io::Result<End> {
    let (sender, end) = oneshot::channel();
    let watch = move || {
        read_to_end(&mut io::stdin().lock());
        // Nobody hears it when the daemon ends for another reason.
        let _ = sender.send(());
    };
    thread::Builder::new().name("stdin".into()).spawn(watch)?;
    Ok(end)
}

/// Waits for the end; for ever if nobody watches.
pub(super) async fn ended(end: Option<&mut End>) {
    match end {
        // A thread that is gone reads no more: that is an end as well.
        Some(end) => drop(end.await),
        None => std::future::pending().await,
    }
}

/// What comes before the end means nothing. What cannot be read has ended.
fn read_to_end(input: &mut impl io::Read) {
    let mut buffer = [0; 512];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}
