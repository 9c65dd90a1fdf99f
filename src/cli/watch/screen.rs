//! What the screen shows: a table above, the last events below. Pure.

use std::collections::VecDeque;

use super::super::ask::status_table;
use super::event::Event;
use super::follow::News;

/// More than any screen has lines.
const KEPT: usize = 500;

/// At least so many lines are left to events.
const EVENTS: usize = 6;

pub(super) struct Screen {
    node: String,
    status: Vec<String>,
    events: VecDeque<String>,
    gone: Option<String>,
}

impl Screen {
    pub(super) fn new(node: &str) -> Self {
        Self { node: node.to_owned(), status: Vec::new(), events: VecDeque::new(), gone: None }
    }

    pub(super) fn take(&mut self, news: News) {
        match &news {
            News::Status(status) => {
                self.status = status_table(status).lines().map(str::to_owned).collect();
                return;
            }
            News::Gone(why) => self.gone = Some(why.clone()),
            News::Connected => self.gone = None,
            News::Event(_) => {}
        }
        self.events.extend(Event::of(&self.node, news).map(|event| event.line()));
        while self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// The lines of a screen of this size, the first one to be made bold.
    pub(super) fn lines(&self, rows: usize, columns: usize) -> Vec<String> {
        let head = match &self.gone {
            Some(why) => format!("{} is gone ({why}); as it was, connecting again   q leaves", self.node),
            None => format!("beamroute watch {}   q leaves", self.node),
        };
        let mut lines = vec![head];
        let room = rows.saturating_sub(EVENTS + 2);
        lines.extend(self.status.iter().take(room).cloned());
        if self.status.len() > room && rows > EVENTS + 2 {
            let hidden = self.status.len() - room;
            lines.pop();
            lines.push(format!("({} more lines; a taller window shows them)", hidden + 1));
        }
        lines.push(String::new());
        let left = rows.saturating_sub(lines.len());
        let from = self.events.len().saturating_sub(left);
        lines.extend(self.events.range(from..).cloned());
        lines.truncate(rows);
        lines.iter().map(|line| line.chars().take(columns).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::syntax::parse;

    fn healed(n: usize) -> News {
        News::Event(parse(&format!("{{route_manager,'gw@h',{{{n},healed,<<\"eth{n}\">>}}}}")).unwrap())
    }

    #[test]
    fn the_newest_events_are_at_the_bottom_and_nothing_is_wider_than_the_screen() {
        let mut screen = Screen::new("gw@h");
        screen.take(News::Status(parse("#{node => 'gw@h', connection => lan, interfaces => #{}}").unwrap()));
        (0..600).for_each(|n| screen.take(healed(n)));
        let lines = screen.lines(10, 40);
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "beamroute watch gw@h   q leaves");
        assert_eq!(lines[1], "gw@h is lan");
        assert!(lines[9].ends_with("eth599: healed"), "{lines:?}");
        assert!(screen.lines(10, 5).iter().all(|line| line.chars().count() <= 5));
        assert_eq!(screen.events.len(), KEPT);
    }

    #[test]
    fn a_small_window_says_what_it_hides() {
        let mut screen = Screen::new("gw@h");
        screen.status = (0..40).map(|n| n.to_string()).collect();
        screen.take(healed(1));
        let lines = screen.lines(20, 80);
        assert_eq!((lines[11].as_str(), lines[12].as_str()), ("10", "(29 more lines; a taller window shows them)"));
        assert!(lines[14].ends_with("eth1: healed"), "{lines:?}");
        for rows in 0..9 {
            assert!(screen.lines(rows, 80).len() <= rows);
        }
    }

    #[test]
    fn a_node_that_is_gone_is_said_to_be_gone_until_it_is_back() {
        let mut screen = Screen::new("gw@h");
        screen.take(News::Gone("the connection is lost".into()));
        assert!(screen.lines(20, 200)[0].starts_with("gw@h is gone (the connection is lost)"));
        screen.take(News::Connected);
        assert!(screen.lines(20, 200)[0].starts_with("beamroute watch gw@h"));
    }
}
