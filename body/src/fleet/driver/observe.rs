//! Reports to the reconciler the events that the driver receives.

use std::time::Duration;

use bus_nats::{
    LinkState,
    store::{KeyChange, StoreError, WatchEvent},
};
use cbs::{BodyId, Bytes, Target};
use fleet::{
    Paused, Revision, Verdict, VerdictRecord,
    keys::{self, Key},
};

use tokio::time::Instant;

use super::{Driver, watches::Done};
use crate::fleet::{
    SpecDocument,
    instance::{Event, InstanceChange},
};

impl Driver {
    pub(super) fn link(&mut self) {
        let state = *self.watches.link.borrow_and_update();
        match state {
            LinkState::Up => {
                // Not yet counted as lost, or back before the loss was observed.
                self.is_brief = self.reconciler.is_connected();
                self.lost = None;
                self.watches.open(Duration::ZERO);
            }
            LinkState::Down => {
                self.watches.close();
                self.lost = self.lost.or_else(|| Some(Instant::now()));
            }
        }
        self.clock.happened();
    }

    /// Handles a connection that is lost for longer than a moment.
    pub(super) fn is_lost(&mut self) {
        self.lost = None;
        self.watches.close_for_long();
        self.reconciler.disconnected();
        self.clock.happened();
    }

    pub(super) fn head(&mut self, word: Result<WatchEvent, StoreError>) {
        match word {
            Ok(WatchEvent::Change(change)) if change.key == keys::HEAD => {
                self.watches.under_way.watched =
                    change.value.as_ref().map_or(0, |_| change.revision);
                self.observed_head(change.value.as_deref(), change.revision);
            }
            Ok(_) => {}
            Err(error) => self.watches.reopen(&error),
        }
    }

    fn observed_head(&mut self, value: Option<&[u8]>, revision: u64) {
        let now = self.clock.now();
        if let Err(error) = self.reconciler.head(value, revision, now) {
            tracing::warn!("{error}; the body keeps what it runs");
        }
        self.clock.happened();
    }

    pub(super) fn lease(&mut self, word: Result<WatchEvent, StoreError>) {
        let now = self.clock.now();
        let change = match word {
            Ok(WatchEvent::Change(change)) => change,
            Ok(WatchEvent::Current) => return,
            Err(error) => return self.watches.reopen(&error),
        };
        match &change.value {
            Some(bytes) => {
                if let Err(error) = self.reconciler.lease(bytes, change.revision, now) {
                    tracing::debug!(body = change.key, "{error}");
                }
            }
            None => {
                if let Ok(body) = BodyId::new(&change.key) {
                    self.reconciler.lease_gone(&body, change.revision);
                }
            }
        }
        self.clock.happened();
    }

    pub(super) fn verdict(&mut self, word: Result<WatchEvent, StoreError>) {
        match word {
            Ok(WatchEvent::Change(change)) => self.verdicts([change]),
            Ok(WatchEvent::Current) => {}
            Err(error) => self.watches.reopen(&error),
        }
    }

    fn verdicts(&mut self, changes: impl IntoIterator<Item = KeyChange>) {
        for KeyChange { key, value, .. } in changes {
            let Some((target, revision)) = keys::verdict_key(&key) else { continue };
            match value.map(|bytes| VerdictRecord::decode(&bytes)) {
                Some(Some(record)) => self.record(&target, revision, record),
                Some(None) => {
                    tracing::warn!("what lies under `{key}` is no verdict: it is left aside");
                }
                None => self.reconciler.verdict(&target, revision, None),
            }
        }
        self.clock.happened();
    }

    fn record(&mut self, target: &Target, revision: Revision, record: VerdictRecord) {
        if self.reconciler.fleet().verdict(target, revision).is_none()
            && self.reconciler.own().held().contains_key(target)
        {
            let VerdictRecord { verdict, reason } = &record;
            match verdict {
                Verdict::Promote => {
                    tracing::info!(%target, %revision, "the canary is promoted: {reason}");
                }
                Verdict::RollBack => {
                    tracing::warn!(%target, %revision, "the canary is rolled back: {reason}");
                }
            }
        }
        self.reconciler.verdict(target, revision, Some(record));
    }

    /// Handles a verdict record about a canary, written by this body or by another one before it.
    fn ruled(
        &mut self,
        target: &Target,
        revision: Revision,
        ruled: Result<(VerdictRecord, bool), StoreError>,
    ) {
        self.watches.ruled(target, revision);
        let (record, first) = match ruled {
            Ok(ruled) => ruled,
            Err(error) => {
                return tracing::warn!(%target, %revision, "a verdict cannot be written yet: {error}");
            }
        };
        if first {
            let state = match record.verdict {
                Verdict::Promote => "canary-promoted",
                Verdict::RollBack => "canary-rolled-back",
            };
            self.executor.instances.report(
                target,
                &revision.to_string(),
                state,
                Some(&record.reason),
            );
        }
        self.record(target, revision, record);
    }

    pub(super) fn event(&mut self, event: Event) {
        let now = self.clock.now();
        let Some((target, version, canary)) = self
            .tasks
            .get(event.instance)
            .map(|it| (it.target.clone(), it.version.clone(), it.canary))
        else {
            return;
        };
        self.tasks.observed(&event);
        let instance = event.instance;
        let revision = version.revision;
        match event.what {
            InstanceChange::Ready(_) => {
                tracing::info!(%target, %revision, canary, "ready");
                self.reconciler.ready(&target, instance, now);
            }
            InstanceChange::Away => {
                tracing::warn!(%target, %revision, "it ended by itself and is started again");
                self.reconciler.away(&target, instance, now);
            }
            InstanceChange::Failed(reason) => {
                tracing::warn!(%target, %revision, canary, "failed: {reason}");
                self.reconciler.failed(&target, instance, &reason, now);
            }
            InstanceChange::Refused(reason) => {
                tracing::warn!(%target, %revision, "cannot run here: {reason}");
                self.reconciler.failed(&target, instance, &reason, now);
                self.reconciler.refuse(&target, revision, &reason);
            }
            InstanceChange::Stopped => self.reconciler.stopped(&target, instance),
        }
        self.clock.happened();
    }

    pub(super) fn done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Opened(epoch, opened) => match self.watches.opened(epoch, *opened) {
                Ok(Some(verdicts)) => {
                    self.verdicts(verdicts);
                    // Who slept meanwhile was absent, however brief the loss was.
                    if std::mem::take(&mut self.is_brief) && self.reconciler.is_connected() {
                        self.reconciler.watched_anew();
                    } else {
                        self.reconciler.connected(now);
                    }
                    self.watch_verdicts();
                }
                Ok(None) => {}
                Err(error) => {
                    self.is_brief = false;
                    self.watches.reopen(&error);
                }
            },
            Done::Born(epoch, born) => self.watches.born(epoch, *born),
            Done::Judges(epoch, verdicts) => {
                let known = self.watches.judges(epoch, *verdicts);
                self.verdicts(known.into_iter().flatten());
            }
            Done::Ruled(target, revision, ruled) => self.ruled(&target, revision, ruled),
            Done::Head(Ok(found)) => {
                let before = self.reconciler.head_revision();
                self.watches.compare(found.as_ref().map_or(0, |(_, revision)| *revision));
                if let Some((value, revision)) = found.filter(|(_, revision)| *revision > before) {
                    self.observed_head(Some(&value), revision);
                }
            }
            Done::Head(Err(error)) => self.watches.reopen(&error),
            Done::Fetched(epoch) => self.watches.has_fetched(epoch),
            Done::Put(put) => {
                self.watches.under_way.putting = false;
                match put {
                    Ok(()) => self.reported.lease = true,
                    Err(error) => {
                        tracing::debug!("the lease was not renewed: {error}");
                        self.clock.beat_again();
                    }
                }
            }
            Done::Nothing => {}
        }
        self.clock.happened();
    }

    pub(super) fn arrived(&mut self, key: Key, bytes: &Bytes) {
        let now = self.clock.now();
        let taken = match key {
            Key::Tree(hash) => self.reconciler.tree(hash, bytes, now),
            Key::Spec(hash) => {
                // One that cannot be read is refused where it is to be started.
                if let Ok(SpecDocument { policy: Some(policy), .. }) = SpecDocument::read(bytes) {
                    self.calls.policies.insert(hash, policy);
                }
                self.reconciler.spec(hash, bytes, now)
            }
            Key::Head | Key::History(_) => Ok(()),
        };
        if let Err(error) = taken {
            tracing::warn!("{error}");
        }
        // Thousands come at once: only the last of them changes anything.
        if !self.reconciler.is_waiting() {
            self.clock.happened();
        }
    }

    /// Checks the head, and whether this body's lease is received: a message may have been lost.
    pub(super) fn look(&mut self) {
        self.clock.looks();
        self.watches.look(self.reconciler.found().paused == Some(Paused::LeaseNotObserved));
    }
}
