//! The begin and the end of a monitor, two of the three frames of each `gen_server:call`: read where they lie, and kept as they came.
//!
//! Nearly all monitors end before the process that they watch, so nobody ever wants to know what is in them.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use eetf::Reference;

use super::{Control, Message};
use crate::term::{self, Limits, PlainPid, Reader};

/// First byte of a frame, then the term's: a tuple of four, and a small integer.
const BEGIN: [u8; 5] = [112, 131, 104, 4, 97];

/// `{19, From, Target, Reference}`, `DOP_MONITOR_P`, or `{20, From, Target, Reference}`, `DOP_DEMONITOR_P`, as BEAMs write
/// them.
#[derive(Debug, Clone, Copy)]
pub struct FlatMonitor<'a> {
    /// It begins; else it ends.
    pub begins: bool,
    /// Whom it watches.
    pub target: FlatTarget<'a>,
    /// The frame's body, without what may follow.
    bytes: &'a [u8],
    from: &'a [u8],
    reference: usize,
}

/// A process of ours as a peer names it, where it lies.
#[derive(Debug, Clone, Copy)]
pub enum FlatTarget<'a> {
    /// By pid.
    Pid(PlainPid<'a>),
    /// By registered name.
    Name(&'a str),
}

/// A monitor, in the bytes in which it came. Its reference tells it from others, and is what it is found by.
#[derive(Debug)]
pub struct KeptMonitor {
    bytes: Box<[u8]>,
    reference: usize,
}

impl<'a> FlatMonitor<'a> {
    /// Reads the body of a frame; `None` for everything else, whatever it is.
    #[must_use]
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        let (op, rest) = frame.strip_prefix(&BEGIN)?.split_first()?;
        let begins = match op {
            19 => true,
            20 => false,
            _ => return None,
        };
        let from = rest;
        let mut reader = Reader::new(rest);
        reader.skip_pid()?;
        let target = match reader.pid() {
            Some(pid) => FlatTarget::Pid(pid),
            None => FlatTarget::Name(reader.atom()?),
        };
        let at = |reader: &Reader<'_>| frame.len().checked_sub(reader.rest().len());
        let reference = at(&reader)?;
        reader.skip_reference_as_written()?;
        Some(Self { begins, target, bytes: frame.get(..at(&reader)?)?, from, reference })
    }

    /// Whether a process of that node watches.
    #[must_use]
    pub fn is_of(&self, node: &str) -> bool {
        Reader::new(self.from).is_pid_of(node)
    }

    /// Its reference, [as we would write it](reference_bytes).
    #[must_use]
    pub fn reference(&self) -> &'a [u8] {
        self.bytes.get(self.reference..).unwrap_or_default()
    }

    /// To keep it.
    #[must_use]
    pub fn keep(&self) -> KeptMonitor {
        KeptMonitor { bytes: self.bytes.into(), reference: self.reference }
    }
}

impl KeptMonitor {
    /// Of a [`Control::MonitorP`]; `None` for others.
    #[must_use]
    pub fn of(control: &Control) -> Option<Self> {
        let Control::MonitorP { reference, .. } = control else { return None };
        let mut frame = Vec::new();
        control.encode(None, &mut frame);
        // Without the length.
        let bytes: Box<[u8]> = frame.get(4..)?.into();
        let reference = bytes.len().checked_sub(reference_bytes(reference).len())?;
        Some(Self { bytes, reference })
    }

    /// What it says: a [`Control::MonitorP`].
    #[must_use]
    pub fn to_control(&self) -> Option<Control> {
        Message::decode(&self.bytes, Limits::default()).ok().map(|message| message.control)
    }

    fn reference(&self) -> &[u8] {
        self.bytes.get(self.reference..).unwrap_or_default()
    }
}

/// A reference as we write it.
#[must_use]
pub fn reference_bytes(reference: &Reference) -> Vec<u8> {
    let mut bytes = Vec::new();
    term::encode(&reference.clone().into(), &mut bytes);
    bytes
}

impl Borrow<[u8]> for KeptMonitor {
    fn borrow(&self) -> &[u8] {
        self.reference()
    }
}

impl Hash for KeptMonitor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reference().hash(state);
    }
}

impl PartialEq for KeptMonitor {
    fn eq(&self, other: &Self) -> bool {
        self.reference() == other.reference()
    }
}

impl Eq for KeptMonitor {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Target;
    use eetf::{Atom, Pid};
    use proptest::prelude::*;

    fn control(begins: bool, target: Target) -> Control {
        let from = Pid { node: Atom::from("p@h"), id: 7, serial: 1, creation: 5 };
        let reference = Reference { node: Atom::from("p@h"), id: vec![1, 2, 3], creation: 5 };
        if begins {
            Control::MonitorP { from, target, reference }
        } else {
            Control::DemonitorP { from, target, reference }
        }
    }

    fn body(control: &Control) -> Vec<u8> {
        let mut frame = Vec::new();
        control.encode(None, &mut frame);
        frame.split_off(4)
    }

    #[test]
    fn what_is_kept_says_what_came() {
        let pid = Pid { node: Atom::from("n@h"), id: 100, serial: 0, creation: 9 };
        for target in [Target::Name(Atom::from("route_manager")), Target::Pid(pid)] {
            let (begin, end) = (control(true, target.clone()), control(false, target));
            let (begins, ends) = (body(&begin), body(&end));
            let (monitor, demonitor) = (FlatMonitor::of(&begins).unwrap(), FlatMonitor::of(&ends).unwrap());
            assert!(monitor.begins && !demonitor.begins);
            assert!(monitor.is_of("p@h") && !monitor.is_of("q@h"));
            assert_eq!(monitor.reference(), demonitor.reference());
            assert_eq!(monitor.keep().to_control(), Some(begin.clone()));
            let kept = KeptMonitor::of(&begin).unwrap();
            assert!(kept == monitor.keep() && Borrow::<[u8]>::borrow(&kept) == demonitor.reference());
            assert_eq!(kept.to_control(), Some(begin));
            // What follows means nothing, here as in `Message::decode`.
            let longer = [&begins[..], &[131, 106]].concat();
            assert_eq!(FlatMonitor::of(&longer).unwrap().reference(), monitor.reference());
            for len in 0..begins.len() {
                assert!(FlatMonitor::of(&begins[..len]).is_none(), "{len}");
            }
        }
    }

    #[test]
    fn what_only_the_full_decoder_reads_is_kept_too() {
        let long = Atom::from("ü".repeat(200).as_str());
        let pid = |node: &Atom| Pid { node: node.clone(), id: 7, serial: 1, creation: 5 };
        let short = Atom::from("p@h");
        for (node, name) in [(&long, &short), (&short, &long)] {
            let (reference, target) =
                (Reference { node: node.clone(), id: vec![1, 2, 3], creation: 5 }, Target::Name(name.clone()));
            let control = Control::MonitorP { from: pid(node), target, reference: reference.clone() };
            let kept = KeptMonitor::of(&control).unwrap();
            assert_eq!(kept.to_control(), Some(control));
            assert_eq!(kept.reference(), reference_bytes(&reference));
        }
    }

    #[test]
    fn a_reference_that_is_written_otherwise_is_left_to_others() {
        let body = body(&control(false, Target::Name(Atom::from("a"))));
        let at = body.windows(5).rposition(|window| window == b"\x77\x03p@h").unwrap();
        let latin = [&body[..at], b"\x64\x00\x03p@h", &body[at + 5..]].concat();
        assert!(FlatMonitor::of(&body).is_some() && FlatMonitor::of(&latin).is_none());
        assert!(Message::decode(&latin, Limits::default()).is_ok());
    }

    proptest! {
        /// Whatever a peer makes of such a frame.
        #[test]
        fn what_is_read_where_it_lies_is_what_would_be_decoded(
            begins in any::<bool>(),
            by_name in any::<bool>(),
            changes in proptest::collection::vec((0_usize..80, any::<u8>()), 0..3),
        ) {
            let pid = Pid { node: Atom::from("n@h"), id: 100, serial: 0, creation: 9 };
            let mut bytes = body(&control(begins, if by_name { Target::Name("a".into()) } else { Target::Pid(pid) }));
            prop_assert!(FlatMonitor::of(&bytes).is_some());
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(flat) = FlatMonitor::of(&bytes) {
                let decoded = Message::decode(&bytes, Limits::default()).unwrap().control;
                let (begins, target, reference) = match &decoded {
                    Control::MonitorP { target, reference, .. } => (true, target, reference),
                    Control::DemonitorP { target, reference, .. } => (false, target, reference),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!((flat.begins, flat.reference()), (begins, &reference_bytes(reference)[..]));
                match (flat.target, target) {
                    (FlatTarget::Name(name), Target::Name(atom)) => prop_assert_eq!(name, &atom.name),
                    (FlatTarget::Pid(flat), Target::Pid(pid)) => prop_assert_eq!(&Pid::from(flat), pid),
                    other => panic!("{other:?}"),
                }
                if begins {
                    prop_assert_eq!(flat.keep().to_control(), Some(decoded));
                }
            }
        }
    }
}
