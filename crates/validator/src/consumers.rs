//! Who still needs older entries of the archive, and how far it may be cut.
//!
//! In: the logged targets, how far each is relayed to, what is open there, the checkpoints, the other validators. Out: the
//! first entry that relay may ask for, with the target that waits for it, and the first one that anybody needs. Relay
//! goes on from a target's watermark; a REWIND goes back to the first entry that the target has sent no receipt for.

use std::collections::BTreeMap;

use common::ids::Name;
use common::targets::Targets;

/// The first entry that relay may still read, and for whom; `None` = no target has a watermark or an open entry.
/// Retired targets ask for nothing.
pub(crate) fn relay_first(
    targets: &Targets,
    watermarks: &BTreeMap<String, u64>,
    mut open: impl FnMut(&Name) -> Option<u64>,
) -> Option<(Name, u64)> {
    let waits = targets.iter().filter_map(|target| {
        let relayed = watermarks.get(target.name.as_str()).map(|last| last.saturating_add(1));
        let first = relayed.into_iter().chain(open(&target.name)).min()?;
        Some((target.name.clone(), first))
    });
    waits.min_by_key(|(_, first)| *first)
}

/// What holds the archive back, each as the first entry that it needs; `None` = it needs none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds {
    /// What a view needs beside the older of the two newest checkpoints; `None` = there are not two.
    pub(crate) checkpoints: Option<u64>,
    /// See [`relay_first`].
    pub(crate) relay: Option<u64>,
    /// What the live standby that is furthest behind does not have.
    pub(crate) standby: Option<u64>,
    /// The last entry that is stable.
    pub(crate) stable: u64,
}

impl Holds {
    /// The first entry that somebody needs: what is before it may be cut. `None` = nothing may.
    #[must_use]
    pub(crate) fn first(self) -> Option<u64> {
        let Self { checkpoints, relay, standby, stable } = self;
        let others = [relay, standby, Some(stable.saturating_add(1))];
        let first = others.into_iter().flatten().chain([checkpoints?]).min();
        first.filter(|first| *first > 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_archive_is_cut_behind_two_checkpoints_and_whoever_needs_more_of_it() {
        let free = Holds { checkpoints: Some(500), relay: None, standby: None, stable: 9_000 };
        assert_eq!(free.first(), Some(500));
        assert_eq!(Holds { checkpoints: None, ..free }.first(), None, "fewer than two checkpoints");
        assert_eq!(
            Holds { checkpoints: Some(1), ..free }.first(),
            None,
            "their window reaches back to the start"
        );
        assert_eq!(Holds { relay: Some(30), ..free }.first(), Some(30), "a target is behind");
        assert_eq!(Holds { standby: Some(40), ..free }.first(), Some(40), "a standby is behind");
        assert_eq!(Holds { stable: 49, ..free }.first(), Some(50), "the rest is not stable");
        let all = Holds { checkpoints: Some(500), relay: Some(600), standby: Some(700), stable: 9_000 };
        assert_eq!(all.first(), Some(500));
    }

    #[test]
    fn a_target_needs_what_was_not_relayed_to_it_and_what_it_has_not_finished_unless_it_is_retired() {
        let list = json!({"targets": [{"name": "a", "kind": "null"}, {"name": "b", "kind": "null"},
            {"name": "c", "kind": "null", "retired": true}, {"name": "new", "kind": "null"}]});
        let targets: Targets = serde_json::from_value(list).expect("targets");
        let first = |marks: &[(&str, u64)], open: &[(&str, u64)]| {
            let map = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
                pairs.iter().map(|(name, seq)| ((*name).to_owned(), *seq)).collect()
            };
            let open = map(open);
            let found = relay_first(&targets, &map(marks), |target| open.get(target.as_str()).copied());
            found.map(|(name, seq)| (name.to_string(), seq))
        };
        let of = |name: &str, seq| Some((name.to_owned(), seq));
        assert_eq!(first(&[], &[]), None);
        assert_eq!(first(&[("a", 9), ("b", 7)], &[]), of("b", 8));
        assert_eq!(first(&[("a", 9), ("b", 7)], &[("a", 3), ("b", 5)]), of("a", 3));
        assert_eq!(first(&[("a", 9), ("c", 1)], &[("c", 1)]), of("a", 10));
    }
}
