//! The time budget of a request: how long each stage took, from facts that outlive every process (ADR 21).

use serde::Serialize;

/// When a request came how far, Unix ms of Redis; `None` = it has not, or it is not known any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit is in the name, as everywhere")]
pub(crate) struct Marks {
    /// SUBMIT took it in: the ms part of its first stream id.
    pub(crate) accepted_ms: Option<u64>,
    /// Its message came into `:in`: the ms part of that stream id.
    pub(crate) collected_ms: Option<u64>,
    /// Its entry was begun: log time.
    pub(crate) begun_ms: Option<u64>,
    /// The last waited target's outbox got it.
    pub(crate) relayed_ms: Option<u64>,
    /// The last waited target was past `relayed`.
    pub(crate) sent_ms: Option<u64>,
    /// The last waited target's receipt was written.
    pub(crate) done_ms: Option<u64>,
}

/// Milliseconds per stage. A stage that has not ended is null; so is one whose end is not known any more, and then the next one
/// counts from where the last known one ended. So the stages always add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit is in the name, as everywhere")]
pub(crate) struct Budget {
    /// From acceptance until everything was collected.
    pub(crate) collect_ms: Option<u64>,
    /// Until the validator took it up.
    pub(crate) queue_ms: Option<u64>,
    /// Until its entry was committed and relayed to the last waited target.
    pub(crate) validate_ms: Option<u64>,
    /// Until the last waited target was sent it.
    pub(crate) broadcast_ms: Option<u64>,
    /// Until the last waited target's receipt was written.
    pub(crate) confirm_ms: Option<u64>,
    /// The sum.
    pub(crate) total_ms: Option<u64>,
}

impl Budget {
    #[must_use]
    pub(crate) fn of(marks: Marks) -> Self {
        let Some(accepted_ms) = marks.accepted_ms else { return Self::default() };
        let mut last_ms = accepted_ms;
        // Log time never falls behind itself, and may so be a little ahead of what comes after it.
        let mut until = |mark: Option<u64>| {
            let spent_ms = mark?.saturating_sub(last_ms);
            last_ms += spent_ms;
            Some(spent_ms)
        };
        let stages = [marks.collected_ms, marks.begun_ms, marks.relayed_ms, marks.sent_ms, marks.done_ms]
            .map(&mut until);
        let [collect_ms, queue_ms, validate_ms, broadcast_ms, confirm_ms] = stages;
        let total_ms = Some(stages.into_iter().flatten().sum());
        Self { collect_ms, queue_ms, validate_ms, broadcast_ms, confirm_ms, total_ms }
    }
}
