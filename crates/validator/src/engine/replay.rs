//! Replay: an entry of the log is computed again and compared.
//!
//! In: an entry's body and the state before it. Out: the same batch as when it was written, or a
//! [`Divergence`] that names the first field that differs: then log, view or program is not what it was.

use common::entry::Body;

use super::Engine;
use super::boundary::{Batch, Fault, Loaded, RawInput, Stamp};
use super::plan::Plan;

/// The entry cannot be reproduced. Always halt.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    #[error("entry {seq}: field {field} differs from the replay's")]
    Field { seq: u64, field: &'static str },
    #[error("entry {seq} cannot be replayed")]
    Fault { seq: u64, source: Fault },
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
        let batch = self.run(plan, loaded, stamp).map_err(|source| Divergence::Fault { seq, source })?;
        if body.epoch < self.position().epoch {
            return Err(Divergence::Field { seq, field: "epoch" });
        }
        match difference(body, &batch.body) {
            Some(field) => Err(Divergence::Field { seq, field }),
            None => Ok(batch),
        }
    }
}

fn difference(logged: &Body, replayed: &Body) -> Option<&'static str> {
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
        ("outcomes", logged.outcomes == replayed.outcomes),
        ("updates", logged.updates == replayed.updates),
        ("root", logged.root == replayed.root),
        ("aux", logged.aux == replayed.aux),
    ];
    fields.into_iter().find(|(_, equal)| !equal).map(|(field, _)| field)
}
