//! What a retired target leaves behind: rows of `deliveries` in which it is still open.
//!
//! In: the view and the logged targets. Out: a bounded number of RECEIPT messages with status `failed`, which the
//! leader logs as its own facts until no row names a target that is not in use: what was not delivered before
//! the target was retired never will be.

use common::message::{Body, Receipt};
use common::status::Delivery;
use common::targets::Targets;

use crate::shard::ShardState;
use crate::view::ViewError;

/// Receipts in one entry, and requests that they may end in it.
const RECEIPTS_MAX: usize = 64;
const STATUSES_MAX: usize = 512;

/// The next receipts; empty = nothing is left open.
pub(crate) fn receipts_of_retired(shard: &ShardState, logged: &Targets) -> Result<Vec<Body>, ViewError> {
    let snapshot = shard.view.snapshot()?;
    let mut bodies = Vec::new();
    let mut statuses = 0;
    for target in snapshot.open_targets()? {
        let Ok(name) = target.parse() else { continue };
        if logged.get(&name).is_some() {
            continue;
        }
        for seq in snapshot.open_entries(&target, RECEIPTS_MAX)? {
            statuses += snapshot.deliveries(seq)?.map_or(0, |row| row.waiting.len());
            if bodies.len() >= RECEIPTS_MAX || (statuses > STATUSES_MAX && !bodies.is_empty()) {
                return Ok(bodies);
            }
            let receipt = Receipt { seq, target: name.clone(), status: Delivery::Failed, parts: Vec::new() };
            bodies.push(Body::Receipt(receipt));
        }
    }
    Ok(bodies)
}
