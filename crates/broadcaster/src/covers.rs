//! What rollbacks have taken back: the entries of `:ctl` and the skip bits they ask for.
//!
//! In: control entries `revert` with `{seq, covers: [{asset, chain, from, version}]}` (DESIGN §8; `asset` is the
//! key hash an update carries, `chain` a target's name). Out: per part the bits of its covered updates.
//! Rule: an update is covered iff same asset and chain, `update.from ≥ revert.from` and
//! `update.version < revert.version`; any looser rule strands chains.

use std::collections::BTreeMap;

use common::bridge::{Part, Update};
use common::hash::Digest;
use common::ids::Name;
use common::link::Control;
use common::revert::{Cover, Reverted};

/// The kind of control entry that a REVERT writes.
pub(crate) const REVERT: &str = "revert";

/// All covers read so far, and how far the reading got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Covers {
    /// Seq of the last REVERT read; BIND and STORE show it.
    seq: u64,
    by_place: BTreeMap<(Name, Digest), Vec<Cover>>,
}

/// A control entry that this build cannot carry out. It must not be passed over: what it takes back would
/// be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoversError {
    #[error("control entry {id} is of an unknown kind {kind:?}")]
    Kind { id: String, kind: String },
    #[error("control entry {id} is not a rollback's covers")]
    Json { id: String, source: serde_json::Error },
}

impl Covers {
    /// Takes in one control entry.
    pub(crate) fn take(&mut self, control: &Control) -> Result<(), CoversError> {
        if control.kind != REVERT {
            return Err(CoversError::Kind { id: control.id.to_string(), kind: control.kind.clone() });
        }
        let reverted: Reverted = serde_json::from_slice(&control.payload)
            .map_err(|source| CoversError::Json { id: control.id.to_string(), source })?;
        for cover in reverted.covers {
            self.by_place.entry((cover.chain.clone(), cover.asset)).or_default().push(cover);
        }
        self.seq = self.seq.max(reverted.seq);
        Ok(())
    }

    /// Seq of the last REVERT read, 0 before the first.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    fn covers(&self, target: &Name, update: &Update) -> bool {
        // Reverts are rare; the look-up key is only built when there are any.
        !self.by_place.is_empty()
            && self
                .by_place
                .get(&(target.clone(), update.asset))
                .is_some_and(|covers| covers.iter().any(|cover| cover.covers(update.from, update.version)))
    }

    /// Bit i = update i of the part is covered on `target`. Parts have at most 50 updates.
    pub(crate) fn skip(&self, target: &Name, part: &Part) -> u64 {
        let covered =
            part.updates.iter().take(64).enumerate().filter(|(_, update)| self.covers(target, update));
        covered.fold(0, |bits, (index, _)| bits | 1 << index)
    }
}

#[cfg(test)]
mod tests {
    use common::bridge::{Header, Part, Update};
    use common::hash::Digest;
    use common::ids::Name;
    use common::link::{Control, StreamId};

    use super::{Covers, CoversError};

    fn name(text: &str) -> Name {
        text.parse().expect("well formed")
    }

    fn part(updates: &[(u8, u64, u64)]) -> Part {
        let updates = updates.iter().map(|(asset, from, version)| Update {
            asset: Digest([*asset; 32]),
            from: *from,
            version: *version,
            state_hash: Digest::ZERO,
        });
        let header = Header {
            shard: 0,
            seq: 1,
            part: 0,
            parts: 1,
            set_id: 1,
            updates_hash: Digest::ZERO,
            state_root: Digest::ZERO,
        };
        Part { header, updates: updates.collect(), sig: None }
    }

    fn revert(seq: u64, asset: u8, chain: &str, from: u64, version: u64) -> Control {
        let payload = format!(
            r#"{{"seq":{seq},"covers":[{{"asset":"{}","chain":"{chain}","from":{from},"version":{version}}}]}}"#,
            Digest([asset; 32])
        );
        Control { id: StreamId::of_seq(seq), kind: "revert".to_owned(), seq, payload: payload.into_bytes() }
    }

    #[test]
    fn the_bits_of_covered_updates_are_set_and_no_others() {
        let mut covers = Covers::default();
        covers.take(&revert(40, 1, "base", 5, 9)).expect("well formed");
        for (what, update, expected) in [
            ("inside", (1, 5, 6), true),
            ("last one undone", (1, 7, 8), true),
            ("the revert's own update", (1, 5, 9), false),
            ("later than the revert", (1, 9, 10), false),
            ("reaches below what is undone", (1, 4, 6), false),
            ("another asset", (2, 5, 6), false),
        ] {
            let bits = covers.skip(&name("base"), &part(&[(9, 0, 1), update]));
            assert_eq!(bits, if expected { 0b10 } else { 0 }, "{what}");
            assert_eq!(covers.skip(&name("optimism"), &part(&[update])), 0, "another chain: {what}");
        }
    }

    #[test]
    fn overlapping_reverts_cover_together() {
        let mut covers = Covers::default();
        covers.take(&revert(40, 1, "base", 5, 9)).expect("well formed");
        covers.take(&revert(44, 1, "base", 2, 12)).expect("well formed");
        assert_eq!(covers.seq(), 44);
        let bits = covers.skip(&name("base"), &part(&[(1, 5, 9), (1, 2, 3), (1, 1, 2), (1, 2, 12)]));
        assert_eq!(bits, 0b0011);
    }

    #[test]
    fn what_cannot_be_carried_out_is_not_passed_over() {
        let mut unknown = revert(40, 1, "base", 5, 9);
        unknown.kind = "freeze".to_owned();
        assert!(matches!(Covers::default().take(&unknown), Err(CoversError::Kind { .. })));
        let mut garbled = revert(40, 1, "base", 5, 9);
        garbled.payload.truncate(10);
        assert!(matches!(Covers::default().take(&garbled), Err(CoversError::Json { .. })));
    }
}
