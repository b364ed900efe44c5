//! Replay: an entry of the log is computed again and compared.
//!
//! In: an entry's body and the state before it. Out: the same batch as when it was written, or a
//! [`Divergence`] that names the first field that differs: then log, view or program is not what it was.
//!
//! Two things of an outcome are not computed again. The wording of its errors (`detail`) is for people and may
//! change with a release; pointers and codes are compared. And `INTERNAL` says that the engine of that day failed on
//! the request, which another build cannot know otherwise.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Body, Outcome};
use common::ids::Rid;

use super::Engine;
use super::boundary::{Batch, Fault, Loaded, RawInput, Stamp, ValueChange};
use super::codes::Code;
use super::crew::Alone;
use super::difference::{self, Difference};
use super::plan::Plan;

/// The entry cannot be reproduced. Always halt.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    #[error("entry {seq}: field {field} differs from the replay's at {}", details.difference.pointer)]
    Field { seq: u64, field: &'static str, details: Box<Details> },
    #[error("entry {seq} cannot be replayed")]
    Fault { seq: u64, source: Fault },
}

/// What a replay that failed has found.
#[derive(Debug)]
pub struct Details {
    pub difference: Difference,
    /// What the replay would have changed, by state-tree key.
    pub changes: BTreeMap<String, ValueChange>,
}

/// The inputs of an entry, as they were read from their streams.
#[must_use]
pub fn inputs_of(body: &Body) -> Vec<RawInput> {
    let raw = |input: &common::entry::Input| RawInput {
        stream: input.s,
        id: input.id.clone(),
        bytes: input.bytes(),
    };
    body.inputs.iter().map(raw).collect()
}

impl Engine {
    /// Runs the entry that follows the engine's head again. `plan` is [`Engine::read`] of [`inputs_of`] it.
    ///
    /// # Errors
    /// See [`Divergence`].
    pub fn replay(&self, body: &Body, plan: Plan, loaded: Loaded) -> Result<Batch, Divergence> {
        let seq = body.seq;
        let stamp = Stamp { epoch: body.epoch, node: body.node.clone(), time_ms: body.time_ms };
        let broken = broken(&body.outcomes);
        let batch = self
            .decide(&Alone, plan, loaded, stamp, &broken)
            .map_err(|source| Divergence::Fault { seq, source })?;
        let fallen = body.epoch < self.position().epoch;
        let Some(field) = fallen.then_some("epoch").or_else(|| differing_field(body, &batch.body)) else {
            return Ok(batch);
        };
        let mut difference = difference::of(body, &batch.body, field);
        if fallen {
            // The replay takes it from the log, where it must not fall.
            difference.replayed = self.position().epoch.into();
        }
        let details = Box::new(Details { difference, changes: batch.changes.values });
        Err(Divergence::Field { seq, field, details })
    }
}

fn differing_field(logged: &Body, replayed: &Body) -> Option<&'static str> {
    let inputs_equal = logged.inputs.len() == replayed.inputs.len()
        && logged
            .inputs
            .iter()
            .zip(&replayed.inputs)
            .all(|(a, b)| (a.s, &a.id, a.m.get()) == (b.s, &b.id, b.m.get()));
    let fields = [
        ("shard", logged.shard == replayed.shard),
        ("seq", logged.seq == replayed.seq),
        ("kind", logged.kind == replayed.kind),
        ("time_ms", logged.time_ms == replayed.time_ms),
        ("ruleset", logged.ruleset == replayed.ruleset),
        ("inputs", inputs_equal),
        ("outcomes", same_outcomes(&logged.outcomes, &replayed.outcomes)),
        ("updates", logged.updates == replayed.updates),
        ("root", logged.root == replayed.root),
        ("aux", logged.aux == replayed.aux),
    ];
    fields.into_iter().find(|(_, equal)| !equal).map(|(field, _)| field)
}

fn broken(outcomes: &[Outcome]) -> BTreeSet<Rid> {
    let is_broken = |outcome: &&Outcome| outcome.code.as_deref() == Some(Code::Internal.name());
    outcomes.iter().filter(is_broken).map(|outcome| outcome.rid).collect()
}

fn same_outcomes(logged: &[Outcome], replayed: &[Outcome]) -> bool {
    logged.len() == replayed.len() && logged.iter().zip(replayed).all(|(a, b)| same_outcome(a, b))
}

/// Equal but for the wording of errors.
fn same_outcome(a: &Outcome, b: &Outcome) -> bool {
    let Outcome { rid, fp, outcome, code, errors, version, dependents } = a;
    (*rid, *fp, *outcome, code, version, dependents)
        == (b.rid, b.fp, b.outcome, &b.code, &b.version, &b.dependents)
        && errors.len() == b.errors.len()
        && errors.iter().zip(&b.errors).all(|(a, b)| (&a.pointer, &a.code) == (&b.pointer, &b.code))
}
