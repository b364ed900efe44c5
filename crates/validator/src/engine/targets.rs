//! A new target list.
//!
//! In: the content of the targets file, from the leader itself, in an entry of its own. Out: the log's
//! targets from this entry on; a list that does not follow the one before is a [`Fault`]. A new name starts with
//! the next entry; a target that is retired is no longer waited for: requests decided from now on do not name
//! it, and for earlier ones the shell feeds in a receipt per open entry ([`Effect::StopTarget`]), a bounded number
//! per batch.

use common::targets::Targets;

use super::boundary::{Effect, Fault};
use super::draft::Draft;

pub(super) fn replace(before: &Targets, after: &Targets, draft: &mut Draft) -> Result<(), Fault> {
    after.check_follows(before)?;
    let only_in = |a: &Targets, b: &Targets| {
        a.iter().filter(|target| b.get(&target.name).is_none()).map(|t| t.name.clone()).collect::<Vec<_>>()
    };
    draft.effects.extend(only_in(after, before).into_iter().map(|target| Effect::StartTarget { target }));
    draft.effects.extend(only_in(before, after).into_iter().map(|target| Effect::StopTarget { target }));
    draft.targets = Some(after.clone());
    Ok(())
}
