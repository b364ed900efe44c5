//! The log by itself: I4 and I6.

use common::hash::Digest;

use super::{Evidence, Violation};

/// I4: entries are dense from 1, each digest covers its content and the entry before.
///
/// # Errors
/// [`Violation::Gap`], [`Violation::Chain`], [`Violation::Body`] or [`Violation::OtherBody`].
pub fn gapless(evidence: &Evidence) -> Result<(), Violation> {
    for (shard, log) in &evidence.logs {
        let shard = *shard;
        let mut head = Digest::ZERO;
        for (entry, expected) in log.iter().zip(1..) {
            let seq = entry.seq;
            if seq != expected {
                return Err(Violation::Gap { shard, expected, found: seq });
            }
            if entry.prev != head || !entry.is_intact() {
                return Err(Violation::Chain { shard, seq });
            }
            let body = entry.decode().map_err(|source| Violation::Body { shard, seq, source })?;
            if (body.seq, body.shard) != (seq, shard) {
                return Err(Violation::OtherBody { shard, seq, said: body.seq, of: body.shard });
            }
            head = entry.digest;
        }
    }
    Ok(())
}

/// I6: along a log epochs never decrease.
///
/// # Errors
/// [`Violation::Epoch`].
pub fn epochs_rise(evidence: &Evidence) -> Result<(), Violation> {
    let mut last = std::collections::BTreeMap::new();
    for (shard, body) in evidence.bodies()? {
        let before = last.insert(shard, body.epoch).unwrap_or(0);
        if body.epoch < before {
            return Err(Violation::Epoch { shard, seq: body.seq, before, epoch: body.epoch });
        }
    }
    Ok(())
}
