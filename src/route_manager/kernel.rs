//! The kernel as the loop sees it: what it has, what was planned for it, and what it would not take.

mod rehearsal;
mod standing;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use self::rehearsal::{Owed, Rehearsals};
use super::adopt;
use super::contest::Contests;
use super::recheck::Recheck;
use crate::metrics;
use crate::netlink::{Meddling, Netlink, NetlinkError, Outcome, Refused};
use crate::route::{
    Change, Changes, DesiredState, Family, Gap, IfName, Object, Plan, PlanOptions, Ranking, Route, Scope, Subnet,
    Touched, Wanted, World, changes, diff, orphans_of, plan, useless_orphans,
};

/// The mirror of the kernel, the last plan, and the way to bring the first to the second.
pub struct Kernel {
    netlink: Netlink,
    world: World,
    plan: Plan,
    /// What is between the two.
    gap: Gap,
    /// What has happened since the last commit.
    touched: Touched,
    options: PlanOptions,
    protocol: u8,
    /// Objects of ours from before our start that no wish explains: they stay until their interface is set or cleared.
    orphans: BTreeSet<Object>,
    /// What the kernel refused. It is not asked again until something has changed.
    refused: BTreeMap<Change, Refused>,
    /// What it last refused, and how: told once.
    complained: BTreeMap<Change, i32>,
    /// What others keep undoing.
    contests: Contests,
    recheck: Recheck,
    rehearsals: Rehearsals,
    /// What the kernel has, and nothing here knows of yet: see [`Self::catch_up`].
    owed: Option<Owed>,
    /// The interface that the last commit was about, if it was about one.
    last_name: Option<IfName>,
    /// The whole batch failed: the error number, until a batch goes through again.
    fault: Option<i32>,
    /// The last look failed, so the next is due without an event, but not at once.
    is_blind: bool,
    /// Its events cannot be waited for.
    is_deaf: bool,
    /// Something has happened in the kernel since the last commit.
    is_stirred: bool,
    /// The kernel may not be as the last batch should have made it.
    is_mistaken: bool,
}

/// Between looks at a kernel that does not answer, or lets nothing be changed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Between looks that dump everything, while the kernel changes faster than it can be dumped: others want to work, too.
const CATCH_BREATH: Duration = Duration::from_millis(20);

/// How long after something was inferred and not told a look makes sure. So a link that flaps brings one look a second.
const VERIFY: Duration = Duration::from_secs(1);

/// How many rounds of changes one commit may take.
const COMMIT_TRIES: usize = 3;

/// How often clearing is tried while others change the kernel in between.
const CLEAR_TRIES: usize = 3;

impl Kernel {
    /// Takes over what `netlink` found. What is ours and no wish of the restored `state` explains is an orphan, until a
    /// wish claims it.
    #[must_use]
    pub fn new(
        netlink: Netlink,
        mut world: World,
        options: PlanOptions,
        protocol: u8,
        state: Option<&DesiredState>,
    ) -> Self {
        world.adopt_stand_ins();
        if let Some(state) = state {
            let planned = plan(state, &Ranking::default(), &world, &options);
            world.adopt_planned(&planned);
        }
        let orphans = adopt::orphans(&world, state);
        if !orphans.is_empty() {
            info!(count = orphans.len(), protocol, "found routes and rules that no saved wish explains; they stay");
        }
        Self {
            netlink,
            world,
            plan: Plan::default(),
            gap: Gap::default(),
            touched: Touched::everything(),
            options,
            protocol,
            orphans,
            refused: BTreeMap::new(),
            complained: BTreeMap::new(),
            contests: Contests::default(),
            recheck: Recheck::default(),
            rehearsals: Rehearsals::default(),
            owed: None,
            last_name: None,
            fault: None,
            is_blind: false,
            is_deaf: false,
            is_stirred: false,
            is_mistaken: false,
        }
    }

    /// Reads everything anew so often, although nothing was told; never, if that is zero.
    pub fn recheck_every(&mut self, time: Duration) {
        self.recheck = Recheck::new(time, Instant::now());
    }

    /// What the kernel has.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What was last planned.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Our protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Objects of ours that no wish explains.
    #[must_use]
    pub const fn orphans(&self) -> &BTreeSet<Object> {
        &self.orphans
    }

    /// A caller has spoken for `name`: what is left of it from an earlier run is its own again. With it goes what has no
    /// effect, and belongs to no interface that anyone could speak for. Says whether there was anything.
    pub fn release_orphans(&mut self, name: IfName, subnets: &[Subnet]) -> bool {
        if self.orphans.is_empty() {
            return false;
        }
        let mut released = orphans_of(name, subnets, &self.world, &self.orphans);
        released.extend(useless_orphans(&self.world, &self.orphans));
        self.orphans.retain(|orphan| !released.contains(orphan));
        let is_news = !released.is_empty();
        self.touched.objects.extend(released);
        is_news
    }

    /// Whether what the kernel refuses and what others do to it is seen at once.
    pub(super) fn is_well(&self) -> bool {
        self.fault.is_none() && !self.is_blind && !self.is_deaf && !self.netlink.is_stale()
    }

    /// Waits until the kernel has news, or cannot be watched any more.
    pub async fn changed(&mut self) {
        // After a batch that failed as a whole each look is a dump, and may well lead to another such batch.
        if self.is_blind || self.fault.is_some() {
            tokio::time::sleep(LOOK_AGAIN).await;
        } else if self.netlink.is_stale() {
            tokio::time::sleep(CATCH_BREATH).await;
        }
        if self.netlink.is_stale() {
            // Due without an event; whether there will be any is not known by that.
            return;
        }
        let watched = self.netlink.readable().await;
        let was_deaf = std::mem::replace(&mut self.is_deaf, watched.is_err());
        if let Err(error) = watched {
            if was_deaf {
                // Without events there is still every call, which looks for itself.
                std::future::pending::<()>().await;
            }
            error!(%error, "cannot watch the kernel");
        }
    }

    /// Takes in what others did to the kernel; says whether planning again may help.
    pub fn look(&mut self) -> bool {
        match self.netlink.drain(&mut self.world) {
            Ok(drained) => {
                self.is_blind = false;
                if drained.may_heal {
                    self.refused.clear();
                }
                self.touched.extend(drained.touched);
                if drained.inferred {
                    self.recheck.hasten(Instant::now() + VERIFY);
                }
                self.note(&drained.meddling);
                self.is_stirred |= drained.changed || drained.may_heal;
                drained.changed || drained.may_heal
            }
            Err(error) => {
                if std::mem::replace(&mut self.is_blind, true) {
                    debug!(%error, "still cannot read the kernel's news");
                } else {
                    warn!(%error, "cannot read the kernel's news; trying again");
                }
                // Some of it may be in the world already.
                self.touched.everything = true;
                true
            }
        }
    }

    /// Counts what others undid of what we want. After a batch that failed as a whole nobody knows who did what.
    fn note(&mut self, meddling: &Meddling) {
        let now = Instant::now();
        if !meddling.upset.is_empty() {
            self.contests.excuse(&meddling.upset, now);
        }
        if self.fault.is_some() {
            return;
        }
        for (change, doer) in &meddling.undoing {
            let is_too_much = self.is_to_do(change) && self.contests.undone(*change, *doer, now);
            self.touched.everything |= is_too_much;
        }
    }

    /// Whether `change` is to be made, as far as planned.
    fn is_to_do(&self, change: &Change) -> bool {
        let has = |object| self.world.ours.contains(object);
        match change {
            Change::Add(object) => self.plan.wants(object) && !has(object),
            Change::Delete(object) => {
                let is_left = self.orphans.contains(object) || self.contests.holds(&Change::Add(*object));
                has(object) && !self.plan.wants(object) && !is_left
            }
            Change::RemoveConnected(connected) => {
                self.world.connected.contains(connected) && self.plan.stand_ins().contains(&connected.place())
            }
            Change::RestoreConnected(_) => false,
        }
    }

    /// When [`Kernel::pass`] is due, or [`Kernel::rehearse`].
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        [self.contests.due(), self.recheck.due(), self.rehearsals.due()].into_iter().flatten().min()
    }

    /// Lets the time be `now`; says whether planning again may help.
    pub fn pass(&mut self, now: Instant) -> bool {
        let mut is_new = self.contests.pass(now);
        self.is_stirred |= is_new;
        self.touched.everything |= is_new;
        if self.recheck.pass(now) {
            debug!("reading everything anew");
            self.netlink.distrust();
            is_new |= self.look();
        }
        is_new
    }

    /// Notes what else may be different at the next commit.
    pub fn touch(&mut self, touched: Touched) {
        self.touched.extend(touched);
    }

    /// Brings the kernel to what `state` wants, and says how many changes that took. What it will not take is pending
    /// afterwards; nothing fails. Only what was [touched](Self::touch) since the last time is looked at. Once the callers have
    /// their replies, [`Self::catch_up`] has to follow.
    pub fn commit(&mut self, state: &DesiredState, ranking: &Ranking) -> usize {
        self.last_name = self.touched.only_name().or(self.last_name);
        let mut done = self.begin_as_rehearsed(state, ranking).unwrap_or(0);
        if self.is_only_behind() {
            return done;
        }
        if self.owed.is_some() {
            self.catch_up(state, ranking);
            if self.fault.is_some() {
                return done;
            }
        }
        if !self.touched.is_empty() || self.is_mistaken {
            self.rehearsals.clear();
        }
        // What waited for something that is refused goes on without it.
        for _ in 0..COMMIT_TRIES {
            if std::mem::take(&mut self.is_mistaken) {
                self.look();
            }
            let changes = self.changes(state, ranking);
            if changes.is_empty() {
                break;
            }
            let result = self.netlink.apply(&changes);
            let (count, is_over) = self.applied(&changes, result);
            done += count;
            if is_over && !self.is_mistaken {
                break;
            }
        }
        self.is_stirred = false;
        done
    }

    /// Takes in what became of `changes`: how many were made, and whether there is nothing more to be made now.
    fn applied(&mut self, changes: &Changes, result: Result<Outcome, NetlinkError>) -> (usize, bool) {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                metrics::BATCHES_FAILED.add_one();
                self.failed(changes, &error);
                return (0, true);
            }
        };
        self.fault = None;
        if outcome.applied.iter().any(|change| self.may_have_hit_another(change)) {
            self.netlink.distrust();
            self.is_mistaken = true;
        }
        metrics::BATCHES.add_one();
        metrics::CHANGES.add(outcome.applied.len());
        metrics::CHANGES_REFUSED.add(outcome.refused.len());
        if self.is_stirred && !outcome.applied.is_empty() {
            self.is_stirred = false;
            metrics::HEALS.add_one();
        }
        self.done(&outcome);
        outcome.withheld.iter().for_each(|change| self.touched.note(change));
        outcome.refused.into_iter().for_each(|refused| self.refused(refused));
        self.complained.retain(|change, _| self.refused.contains_key(change));
        (outcome.applied.len(), outcome.withheld.is_empty())
    }

    /// Plans, and says what is to be done; not what was refused before.
    fn changes(&mut self, state: &DesiredState, ranking: &Ranking) -> Changes {
        let contested = self.contests.missed();
        let wanted = Wanted { state, ranking, options: &self.options, contested: &contested };
        let touched = std::mem::take(&mut self.touched);
        let moved = self.plan.update(&wanted, &self.world, &touched);
        let mut scope = touched.scope(moved);
        scope.objects.extend(self.forget_orphans());
        if scope.everything {
            self.gap = Gap::between(&self.world, &self.plan);
        } else {
            self.gap.revise(&scope.objects, &self.world, &self.plan);
        }
        let changes = self.changes_over(&self.gap, &scope);
        if cfg!(debug_assertions) {
            self.check(state, ranking, &changes);
        }
        if self.refused.is_empty() { changes } else { self.changes_despite_refusals(&scope) }
    }

    /// The same without what was refused, and what it was to replace: until something else happens, this is not tried
    /// again. The order in the queues is made without it.
    fn changes_despite_refusals(&mut self, scope: &Scope) -> Changes {
        let mut gap = self.gap.clone();
        let is_refused = |change: &Change| self.refused.contains_key(change);
        let mut refused: Vec<Change> = gap.missing().copied().map(Change::Add).filter(is_refused).collect();
        gap.do_without(|object| is_refused(&Change::Add(*object)));
        let mut changes = self.changes_over(&gap, scope);
        refused.extend(changes.additions.extract_if(.., |change| is_refused(change)));
        let (deletions, mut waiting) = changes.deletions_beside(&refused);
        changes.deletions = deletions;
        waiting.extend(changes.deletions.extract_if(.., |change| is_refused(change)));
        refused.iter().chain(&waiting).for_each(|change| self.touched.note(change));
        changes
    }

    /// What closes `gap`, but for what others keep undoing.
    fn changes_over(&self, gap: &Gap, scope: &Scope) -> Changes {
        let mut changes = changes(gap, &self.world, &self.plan, &self.staying(), scope);
        self.put_off(&mut changes);
        changes
    }

    /// Panics if planning everything anew would come to something else.
    fn check(&self, state: &DesiredState, ranking: &Ranking, changes: &Changes) {
        let plan = self.foresee(state, ranking);
        assert_eq!(self.plan, plan, "the plan is not up to date");
        assert_eq!(*changes, self.changes_to(&plan), "the changes are not all that is needed");
    }

    /// Orphans that are gone, or are of no use and in the way, are none any more.
    fn forget_orphans(&mut self) -> BTreeSet<Object> {
        if self.orphans.is_empty() {
            return BTreeSet::new();
        }
        // Before the table that one of them holds fills with its new owner's routes.
        let useless = useless_orphans(&self.world, &self.orphans);
        let is_given = |orphan: &Object| self.plan.tables().contains_key(&orphan.table());
        let is_over =
            |orphan: &&Object| !self.world.ours.contains(*orphan) || (useless.contains(*orphan) && is_given(orphan));
        let over: BTreeSet<Object> = self.orphans.iter().filter(is_over).copied().collect();
        self.orphans.retain(|orphan| !over.contains(orphan));
        over
    }

    /// Whether the kernel may have deleted another route of ours instead: it does not look at `onlink`, and a deletion without a
    /// source takes the first with any (`fib_table_delete` in `net/ipv4/fib_trie.c`).
    fn may_have_hit_another(&self, change: &Change) -> bool {
        let Change::Delete(object @ Object::Route(deleted)) = change else { return false };
        let alike = |route: &Route| Route { prefsrc: None, onlink: false, ..*route };
        let fits = |other: &Route| {
            alike(other) == alike(deleted) && (deleted.prefsrc.is_none() || deleted.prefsrc == other.prefsrc)
        };
        // They stand side by side in the order of routes.
        let those_alike = self.world.ours.range(Object::Route(alike(deleted))..).take_while(|other| match other {
            Object::Route(other) => alike(other) == alike(deleted),
            _ => false,
        });
        let mut others = those_alike.filter(|other| *other != object);
        deleted.dst.family() == Family::V4 && others.any(|other| matches!(other, Object::Route(other) if fits(other)))
    }

    fn done(&mut self, outcome: &Outcome) {
        for change in &outcome.applied {
            debug!(command = change.command(&self.world, self.protocol), "done");
            self.world.apply(change);
        }
        if outcome.is_complete() {
            self.gap.note_all(&outcome.applied, &self.plan);
        } else {
            outcome.applied.iter().for_each(|change| self.gap.note(change, &self.plan));
        }
    }

    fn refused(&mut self, refused: Refused) {
        let command = refused.change.command(&self.world, self.protocol);
        let Refused { change, errno, text } = &refused;
        if self.complained.insert(*change, *errno) == Some(*errno) {
            debug!(command, errno, text, "the kernel refused again");
        } else {
            warn!(command, errno, text, "the kernel refused");
        }
        self.touched.note(change);
        self.refused.insert(*change, refused);
    }

    /// Nothing is known of what became of `changes`. What they did to the kernel's own routes must not be forgotten;
    /// if they are still there, the next look finds out.
    fn failed(&mut self, changes: &Changes, error: &NetlinkError) {
        self.touched.everything = true;
        for change in &changes.deletions {
            if let Change::RemoveConnected(connected) = change {
                self.world.note_removed(connected);
            }
        }
        let errno = error.errno().unwrap_or(nix::libc::EIO);
        let is_known = self.fault.replace(errno) == Some(errno);
        match error {
            _ if is_known => debug!(%error, "routes are still not changed"),
            NetlinkError::MissingNetAdmin { .. } => error!(%error, "routes cannot be changed"),
            _ => warn!(%error, "routes were not changed; trying again"),
        }
    }

    /// What the first commit would change. Changes nothing.
    pub(super) fn preview(&mut self, state: &DesiredState, ranking: &Ranking) -> Vec<Change> {
        let changes = self.changes(state, ranking);
        [changes.additions, changes.deletions].concat()
    }

    /// What a commit would change now: nothing, unless the kernel has refused something or does not answer.
    #[must_use]
    pub(super) fn planned(&self) -> Vec<Change> {
        let changes = self.changes_to(&self.plan);
        [changes.additions, changes.deletions].concat()
    }

    /// What leads to `plan`, but for what others keep undoing.
    fn changes_to(&self, plan: &Plan) -> Changes {
        let mut changes = diff(&self.world, plan, &self.staying());
        self.put_off(&mut changes);
        changes
    }

    /// Leaves the connected routes that others keep putting back. (What else they undo was never in the changes.)
    fn put_off(&self, changes: &mut Changes) {
        let is_held = |change: &Change| matches!(change, Change::RemoveConnected(_)) && self.contests.holds(change);
        changes.deletions.retain(|deletion| !is_held(deletion));
    }

    /// Objects of ours that stay although no plan has them: orphans, and what others fight over.
    fn staying(&self) -> Cow<'_, BTreeSet<Object>> {
        let held = self.contests.held().filter_map(|change| match change {
            Change::Add(object) | Change::Delete(object) => Some(*object),
            Change::RestoreConnected(_) | Change::RemoveConnected(_) => None,
        });
        let mut held = held.peekable();
        if held.peek().is_none() {
            return Cow::Borrowed(&self.orphans);
        }
        Cow::Owned(self.orphans.iter().copied().chain(held).collect())
    }

    /// Takes all that is ours out of the kernel, orphans too, and puts its own connected routes back.
    pub fn clear(&mut self) {
        self.orphans.clear();
        self.contests = Contests::default();
        self.options.local_networks_first = false;
        self.touched.everything = true;
        let nothing = DesiredState::default();
        for _ in 0..CLEAR_TRIES {
            self.look();
            self.refused.clear();
            self.touched.everything = true;
            self.commit(&nothing, &Ranking::default());
            if self.world.ours.is_empty() {
                info!(protocol = self.protocol, "cleared all our routes and rules");
                return;
            }
        }
        error!(left = self.world.ours.len(), "some of our routes and rules could not be cleared");
    }

    /// The families in which interface `name` would have a default route in main by `ranking`, as far as is known: not if
    /// the kernel has refused it.
    #[must_use]
    pub(super) fn ways_out(&self, name: IfName, state: &DesiredState, ranking: &Ranking) -> Vec<Family> {
        let wanted = Wanted { state, ranking, options: &self.options, contested: &self.contests.missed() };
        let is_refused = |route: &Route| {
            let is_like = |change: &Change| matches!(change, Change::Add(Object::Route(refused)) if Route { metric: route.metric, ..*refused } == *route);
            self.refused.keys().any(is_like)
        };
        let routes = Plan::default_routes(name, &wanted, &self.world);
        routes.iter().filter(|route| !is_refused(route)).map(|route| route.dst.family()).collect()
    }

    /// Whether there is something that the kernel has refused.
    #[must_use]
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The plan that `ranking` would make now, without what others keep deleting.
    #[must_use]
    pub fn foresee(&self, state: &DesiredState, ranking: &Ranking) -> Plan {
        let mut plan = Plan::default();
        let wanted = Wanted { state, ranking, options: &self.options, contested: &self.contests.missed() };
        plan.update(&wanted, &self.world, &Touched::everything());
        plan
    }

    /// The caller has changed its wishes: what was refused may be taken now.
    pub fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// Whether a commit failed as a whole and should be tried again without waiting for an event.
    #[must_use]
    pub const fn wants_retry(&self) -> bool {
        self.fault.is_some()
    }
}
