//! Lines on their way to a file that may block.
//!
//! The thread that writes them sleeps until there are some, lets them grow for a moment, and writes them all. What libraries have
//! for this wakes for each line, and then looks again and again whether there is another. On a device with one processor, callers
//! wait for that.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait at most for a file that nobody reads. More is lost, and counted.
const MAX_WAITING: usize = 1 << 20;

/// Bytes of memory for lines that are kept when there are none.
const KEPT: usize = 4 << 10;

/// How long more lines are waited for. So many changes in a row wake the thread once, and not each of them.
const GROWTH: Duration = Duration::from_millis(1);

/// How long the end waits for a file that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes lines, each in one [`write`](Write::write), which never waits and never fails.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

/// What waits is written when this is dropped, if the file takes it within a second.
#[derive(Debug)]
#[must_use = "when it is dropped, no more is written"]
pub struct LogGuard(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or nothing will come any more.
    filled: Condvar,
    /// All has been written that ever will be.
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    /// Writes that were dropped since the last text was taken.
    lost: usize,
    is_over: bool,
    is_finished: bool,
}

impl Lines {
    /// Begins a thread that writes to `file`, and calls `tell` when so many writes have been lost. Lines that wait are written
    /// together, as long as they are not more than `most` bytes.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn to(
        file: impl Write + Send + 'static,
        most: usize,
        tell: impl Fn(usize) + Send + 'static,
    ) -> io::Result<(Self, LogGuard)> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || theirs.write_to(file, most, tell))?;
        Ok((Self(Arc::clone(&shared)), LogGuard(shared)))
    }
}

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        let was_empty = waiting.text.is_empty();
        if waiting.text.len().saturating_add(lines.len()) > MAX_WAITING {
            waiting.lost = waiting.lost.saturating_add(1);
        } else {
            waiting.text.extend_from_slice(lines);
        }
        drop(waiting);
        if was_empty {
            self.0.filled.notify_one();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut file: impl Write, most: usize, tell: impl Fn(usize)) {
        let mut text = Vec::new();
        while let Some(lost) = self.take(&mut text) {
            // Now that there is room for it again, and before what comes next.
            if lost > 0 {
                tell(lost);
            }
            let mut rest = &text[..];
            while !rest.is_empty() {
                let (lines, more) = first_lines(rest, most);
                write_lines(&mut file, lines);
                rest = more;
            }
            text.clear();
            text.shrink_to(KEPT);
        }
        self.lock().is_finished = true;
        self.finished.notify_all();
    }

    /// Waits for text, and says how many writes were lost after it; `None` when no more will come.
    fn take(&self, text: &mut Vec<u8>) -> Option<usize> {
        let is_idle = |waiting: &mut Waiting| waiting.text.is_empty() && !waiting.is_over;
        drop(self.filled.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner));
        thread::sleep(GROWTH);
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.text, text);
        (!text.is_empty()).then(|| std::mem::take(&mut waiting.lost))
    }
}

/// As many whole lines as are not more than `most` bytes, but at least one; and the rest.
fn first_lines(text: &[u8], most: usize) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| *byte == b'\n';
    let last = text.get(..most).unwrap_or(text).iter().rposition(is_end);
    let end = last.or_else(|| text.iter().position(is_end)).map_or(text.len(), |end| end.saturating_add(1));
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// What cannot be written nobody could be told.
fn write_lines(file: &mut impl Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match file.write(lines) {
            Ok(0) => return,
            Ok(len) => lines = lines.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody who has the same file has made it so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(GROWTH),
            // What is shorter may still find room on a full disk.
            Err(_) => lines = first_lines(lines, 0).1,
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.filled.notify_one();
        let is_unfinished = |waiting: &mut Waiting| !waiting.is_finished;
        let _ = self.0.finished.wait_timeout_while(self.0.lock(), LAST_WORDS, is_unfinished);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    #[test]
    fn all_that_waits_is_written_in_the_end() {
        let (mut reader, file) = UnixStream::pair().unwrap();
        let (lines, guard) = Lines::to(file, 100, |lost| panic!("{lost}")).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let mut lines = lines.clone();
                thread::spawn(move || (0..1000).for_each(|m| lines.write_all(format!("{n} {m}\n").as_bytes()).unwrap()))
            })
            .collect();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(guard);
        let text = reader.join().unwrap();
        for n in 0..4 {
            let of_one = text.lines().filter_map(|line| line.strip_prefix(&format!("{n} ")));
            assert!(of_one.eq((0..1000).map(|m| m.to_string()).collect::<Vec<_>>()), "thread {n}");
        }
    }

    #[test]
    fn many_lines_are_few_writes() {
        struct Counted(Arc<std::sync::atomic::AtomicUsize>);
        impl Write for Counted {
            fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(lines.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (most, is_few) in [(4096, true), (0, false)] {
            let writes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let (mut lines, guard) = Lines::to(Counted(Arc::clone(&writes)), most, |lost| panic!("{lost}")).unwrap();
            (0..1000).for_each(|_| lines.write_all(b"a line\n").unwrap());
            drop(guard);
            let writes = writes.load(std::sync::atomic::Ordering::SeqCst);
            assert_eq!(writes < 500, is_few, "{writes}");
        }
    }

    #[test]
    fn a_file_that_takes_nothing_stops_nobody_and_the_loss_is_told() {
        let (mut reader, file) = UnixStream::pair().unwrap();
        let (told, loss) = std::sync::mpsc::channel();
        let (mut lines, guard) = Lines::to(file, 0, move |lost| told.send(lost).unwrap()).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let written = 4 * MAX_WAITING / line.len();
        (0..written).for_each(|_| lines.write_all(&line).unwrap());
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        let lost = loss.recv().unwrap();
        lines.write_all(b"on it goes\n").unwrap();
        drop(guard);
        let text = reader.join().unwrap();
        assert!(text.ends_with(b"x\non it goes\n"));
        assert_eq!(text.split_inclusive(|byte| *byte == b'\n').count() + lost, written + 1);
    }

    #[test]
    fn lines_stay_whole_and_go_together_as_far_as_they_may() {
        let pieces = |text: &'static str, most| {
            let mut rest = text.as_bytes();
            std::iter::from_fn(move || {
                let (lines, more) = first_lines(rest, most);
                rest = more;
                (!lines.is_empty()).then(|| std::str::from_utf8(lines).unwrap())
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(pieces("a\nbc\nd\n", 0), ["a\n", "bc\n", "d\n"]);
        assert_eq!(pieces("a\nbc\nd\n", 4), ["a\n", "bc\n", "d\n"]);
        assert_eq!(pieces("a\nbc\nd\n", 5), ["a\nbc\n", "d\n"]);
        assert_eq!(pieces("a\nbc\nd\n", 7), ["a\nbc\nd\n"]);
        assert_eq!(pieces("much longer\nb\nno end", 3), ["much longer\n", "b\n", "no end"]);
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (_reader, file) = UnixStream::pair().unwrap();
        let (mut lines, guard) = Lines::to(file, 0, |_| {}).unwrap();
        lines.write_all(&vec![b'x'; MAX_WAITING]).unwrap();
        let start = Instant::now();
        drop(guard);
        assert!(start.elapsed() < 60 * LAST_WORDS);
    }
}
