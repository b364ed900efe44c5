//! What one run of a request has looked at, and whether it would see the same now.
//!
//! In: every read of a run, noted by its [`Overlay`](super::work::Overlay) and by the check of its dependencies. Out:
//! [`Reads`], which [`hold`](Reads::hold) as long as a second run would see the same, so give the same.
//!
//! - A slot with its stamp, which counts the requests of the batch that wrote it: an absent record has a stamp like any
//!   other, so what was absent and is there now is a change.
//! - The version of the asset, which rises without a write: only if `expected_version` was looked at.
//! - Requests of the batch that it depends on, each with what was decided of it by then.
//!
//! All else that a run sees is fixed for the whole batch: its message, time, targets, earlier entries' decisions.
//! Every read of the domain names its key. A read of a range of keys would have to be noted with its bounds and a
//! stamp that rises with every key written within them, or a key that appears in between would not be seen.

use std::cell::RefCell;

use super::execute::Verdict;
use super::footprint::SlotId;
use super::work::Work;

/// Notes the reads of one run, also of one that panics; or notes nothing, for a run in its turn, whose reads nobody asks for.
#[derive(Debug, Default)]
pub(super) struct Recorder(Option<RefCell<Reads>>);

impl Recorder {
    pub(super) fn noting() -> Self {
        Self(Some(RefCell::default()))
    }

    fn note(&self, note: impl FnOnce(&mut Reads)) {
        if let Some(reads) = &self.0 {
            note(&mut reads.borrow_mut());
        }
    }

    pub(super) fn slot(&self, slot: SlotId, stamp: u32) {
        self.note(|reads| reads.slots.push((slot, stamp)));
    }

    pub(super) fn version(&self, asset: SlotId, version: u64) {
        self.note(|reads| reads.versions.push((asset, version)));
    }

    /// What was decided of the request at an earlier place; `None` = nothing yet.
    pub(super) fn verdict(&self, place: usize, verdict: Option<&Verdict<'_>>) {
        self.note(|reads| reads.verdicts.push((place, verdict.map(Verdict::is_applied))));
    }

    pub(super) fn into_reads(self) -> Reads {
        self.0.map(RefCell::into_inner).unwrap_or_default()
    }
}

/// The reads of one run.
#[derive(Debug, Default)]
pub(super) struct Reads {
    slots: Vec<(SlotId, u32)>,
    versions: Vec<(SlotId, u64)>,
    verdicts: Vec<(usize, Option<bool>)>,
}

impl Reads {
    /// Whether each of them would give the same now.
    pub(super) fn hold(&self, work: &Work, verdicts: &[Verdict<'_>]) -> bool {
        self.slots.iter().all(|(slot, stamp)| work.slots[*slot].stamp == *stamp)
            && self.versions.iter().all(|(asset, version)| work.version(*asset) == *version)
            && self
                .verdicts
                .iter()
                .all(|(place, applied)| verdicts.get(*place).map(Verdict::is_applied) == *applied)
    }
}
