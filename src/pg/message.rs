//! The words of the protocol.

use crate::term::{Pid, Term, as_atom, as_tuple, atom, list, tuple};

/// Asks who has the scope. The form of version 0, which every OTP from 25 to 29 takes.
pub(super) fn discover(us: Pid) -> Term {
    tuple([atom("discover"), us.into()])
}

/// All that is in groups here: the request of a cast.
pub(super) fn sync(us: Pid, member: &Pid, groups: &[Term]) -> Term {
    let pids = list([member.clone().into()]);
    let groups: Vec<Term> = groups.iter().map(|group| tuple([group.clone(), pids.clone()])).collect();
    tuple([atom("sync"), us.into(), list(groups)])
}

/// `member` is in none of `groups` any more.
pub(super) fn leave(us: Pid, member: &Pid, groups: &[Term]) -> Term {
    tuple([atom("leave"), us.into(), member.clone().into(), list(groups)])
}

/// The scope process that asks who else has the scope, in the form of any version.
pub(super) fn discoverer(message: &Term) -> Option<&Pid> {
    let (word, peer) = match (as_tuple::<2>(message), as_tuple::<3>(message)) {
        (Some([word, peer]), _) | (_, Some([word, peer, _])) => (word, peer),
        _ => return None,
    };
    match peer {
        Term::Pid(peer) if as_atom(word) == Some("discover") => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::integer;

    fn pid(id: u32) -> Pid {
        Pid { node: "a@h".into(), id, serial: 0, creation: 1 }
    }

    #[test]
    fn a_discover_has_two_elements_or_three() {
        let (word, peer) = (|| atom("discover"), || Term::from(pid(7)));
        for message in [discover(pid(7)), tuple([word(), peer(), integer(1)]), tuple([word(), peer(), atom("any")])] {
            assert_eq!(discoverer(&message), Some(&pid(7)), "{message:?}");
        }
        for message in [
            word(),
            tuple([word()]),
            tuple([word(), word()]),
            tuple([atom("join"), peer()]),
            tuple([word(), peer(), integer(1), integer(1)]),
            list([word(), peer()]),
            sync(pid(7), &pid(8), &[]),
        ] {
            assert_eq!(discoverer(&message), None, "{message:?}");
        }
    }

    #[test]
    fn a_sync_has_each_group_with_its_members() {
        let sent = sync(pid(7), &pid(8), &[atom("a"), atom("b")]);
        let member = || list([Term::from(pid(8))]);
        let groups = list([tuple([atom("a"), member()]), tuple([atom("b"), member()])]);
        assert_eq!(sent, tuple([atom("sync"), pid(7).into(), groups]));
    }
}
