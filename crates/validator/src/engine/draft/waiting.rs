//! The part of the draft that speaks of locks and waiters.

use common::ids::Rid;
use common::status::{OutcomeKind, Status};

use super::super::codes::{Code, Errors};
use super::super::footprint::locked_asset;
use super::super::intake::Candidate;
use super::super::waiting::{CHAIN_MAX, Cause, Waiter};
use super::super::work::{Record, Slot};
use super::{Draft, Subject};

impl Draft {
    /// The request, if it waits.
    pub(in crate::engine) fn waiter(&self, rid: Rid) -> Option<&Waiter> {
        match self.waiters.get(&rid) {
            Some(changed) => changed.as_ref(),
            None => self.loaded_waiters.get(&rid),
        }
    }

    /// The chain that leads from the request `first` waits for back to `first`, each waiting for the next.
    pub(in crate::engine) fn cycle(&self, first: Rid, mut next: Rid) -> Option<String> {
        let mut chain = vec![first, next];
        while next != first && chain.len() <= CHAIN_MAX {
            let Some(Waiter { cause: Cause::Dependency { rid }, .. }) = self.waiter(next) else {
                return None;
            };
            next = Rid::from_bytes(*rid).ok()?;
            chain.push(next);
        }
        let names: Vec<String> = chain.iter().map(Rid::to_string).collect();
        (next == first).then(|| names.join(" → "))
    }

    /// The asset of every request that was waiting and is ended before any takes its turn.
    pub(in crate::engine) fn ended_waiters(&self) -> Vec<(Rid, String)> {
        let ended = self.waiters.iter().filter(|(_, waiter)| waiter.is_none());
        ended.filter_map(|(rid, _)| Some((*rid, self.loaded_waiters.get(rid)?.asset.clone()))).collect()
    }

    /// How many more wait after this entry than before it.
    pub(in crate::engine) fn waiters_change(&self) -> i64 {
        let change = |(rid, waiter): (&Rid, &Option<Waiter>)| {
            i64::from(waiter.is_some()) - i64::from(self.loaded_waiters.contains_key(rid))
        };
        self.waiters.iter().map(change).sum()
    }

    /// The request waits, or goes on waiting for something else.
    pub(in crate::engine) fn hold(&mut self, candidate: &Candidate<'_>, cause: Cause) {
        let Candidate { about, request, input, deadline_ms, time_ms, .. } = candidate;
        let before = self.waiter(about.rid);
        // Who waits for its asset waits on until the same time.
        let is_same = before.is_some_and(|before| match (&before.cause, &cause) {
            (Cause::Lock { .. }, Cause::Lock { .. }) => true,
            (before, cause) => before == cause,
        });
        if is_same {
            return;
        }
        let (code, pointer, detail) = match &cause {
            Cause::Lock { .. } => {
                let detail = "the asset is held, or others wait for it";
                (Code::AssetLocked, "/asset/id".to_owned(), detail.to_owned())
            }
            Cause::Dependency { rid } => {
                let index = request.depends_on.iter().position(|named| named.as_bytes() == rid);
                let pointer = format!("/depends_on/{}", index.unwrap_or_default());
                let rid = Rid::from_bytes(*rid).map(|rid| rid.to_string()).unwrap_or_default();
                (Code::DependencyPending, pointer, format!("request {rid} is not decided"))
            }
            Cause::Time { at_ms } => {
                (Code::NotEffectiveYet, "/effective_at".to_owned(), format!("it takes effect at {at_ms}"))
            }
        };
        let (since, since_ms) = before.map_or((self.seq, *time_ms), |before| (before.since, before.since_ms));
        let waiter = Waiter {
            tenant: about.tenant.to_string(),
            fp: about.fp,
            asset: request.asset.id.to_string(),
            is_order: request.is_regulatory(),
            id: input.id.clone(),
            message: input.bytes(),
            since,
            since_ms,
            deadline_ms: *deadline_ms,
            cause,
        };
        self.waiters.insert(about.rid, Some(waiter));
        let (code, errors) = Errors::one(code, pointer, detail).into_parts();
        let about = Subject::from(*about);
        self.write_status(about, Status::Queued, OutcomeKind::Held, Some(&code), &errors);
        self.say(about, OutcomeKind::Held, Some(code), errors, None);
    }

    /// The status record of a request that waits may be new or behind: written again.
    pub(in crate::engine) fn restore_waiting(&mut self, about: Subject<'_>) {
        self.write_status(about, Status::Queued, OutcomeKind::Held, None, &[]);
    }

    /// A lock's row as the turns have left it.
    pub(in crate::engine) fn lock(&mut self, slot: &Slot) {
        if let (true, Some(asset)) = (slot.written, locked_asset(&slot.key)) {
            self.locks.insert(
                asset.to_owned(),
                slot.now.as_ref().and_then(Record::as_lock).filter(|row| !row.is_empty()).cloned(),
            );
        }
    }
}
