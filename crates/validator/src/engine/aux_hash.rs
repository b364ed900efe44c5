//! The running hash over changes of state outside the tree.
//!
//! `aux' = SHA-256("oss/aux/1" ‖ aux ‖ borsh(changes))` for every entry, also one without such changes, where
//! `changes` are, in this order:
//!
//! | field | borsh |
//! |---|---|
//! | decisions | `Vec<([u8; 16], Decision)>` by request id |
//! | deliveries | `Vec<(u64, Option<Deliveries>)>` by entry; none = the row goes |
//! | targets | `Option<Vec<u8>>`: the new list's canonical JSON |
//!
//! and behind them, only if there are any, the withdrawals: `Vec<([u8; 16], Vec<Withdrawal>)>` by request id.

use borsh::BorshSerialize;
use common::hash::Digest;

use super::boundary::{Decision, Deliveries};
use super::draft::Draft;

#[derive(BorshSerialize)]
struct Outside<'a> {
    decisions: Vec<(&'a [u8; 16], &'a Decision)>,
    deliveries: Vec<(u64, Option<&'a Deliveries>)>,
    targets: Option<Vec<u8>>,
}

pub(super) fn next(aux: Digest, draft: &Draft) -> Digest {
    let outside = Outside {
        decisions: draft.decisions.iter().map(|(rid, decision)| (rid.as_bytes(), decision)).collect(),
        deliveries: draft.deliveries.iter().map(|(seq, row)| (*seq, row.as_ref())).collect(),
        targets: draft.targets.as_ref().map(common::targets::Targets::canonical),
    };
    // Writing plain data into memory cannot fail.
    let mut bytes = borsh::to_vec(&outside).unwrap_or_default();
    if !draft.withdrawals.is_empty() {
        let told: Vec<_> = draft.withdrawals.iter().map(|(rid, list)| (rid.as_bytes(), list)).collect();
        bytes.extend(borsh::to_vec(&told).unwrap_or_default());
    }
    Digest::of(&[b"oss/aux/1", &aux.0, &bytes])
}
