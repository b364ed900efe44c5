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
//! and behind them, only if there are any, or there is something behind them, the withdrawals: `Vec<([u8; 16],
//! Vec<Withdrawal>)>` by request id; and behind those, only if there are any, `Vec<(String, Option<LockRow>)>` by asset
//! and `Vec<([u8; 16], Option<Waiter>)>` by request id.

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
    let is_waiting_changed = !draft.locks.is_empty() || !draft.waiters.is_empty();
    if is_waiting_changed || !draft.withdrawals.is_empty() {
        let told: Vec<_> = draft.withdrawals.iter().map(|(rid, list)| (rid.as_bytes(), list)).collect();
        bytes.extend(borsh::to_vec(&told).unwrap_or_default());
    }
    if is_waiting_changed {
        let locks: Vec<_> = draft.locks.iter().collect();
        let waiters: Vec<_> = draft.waiters.iter().map(|(rid, row)| (rid.as_bytes(), row)).collect();
        bytes.extend(borsh::to_vec(&(locks, waiters)).unwrap_or_default());
    }
    Digest::of(&[b"oss/aux/1", &aux.0, &bytes])
}
