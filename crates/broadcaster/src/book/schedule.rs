//! When each free part may be bound.
//!
//! In: the free parts in the log's order, each with its own wait. Out: the same parts with the time they are due.
//! Rule: a part that follows a free one (its update starts at or above the version the other brings the same asset to)
//! waits with it, because the contract would only defer it. A part that does not need the other, as a rollback's,
//! goes by its own wait: it may be what the other waits for. Cost: one look-up per update, none while nothing waits.

use std::collections::BTreeMap;

use common::bridge::Update;
use common::hash::Digest;
use common::link::Item;

/// Per asset the versions that waiting parts bring it to, each with the latest time that it or a lower one is due.
#[derive(Debug, Default)]
struct Waiting {
    by_asset: BTreeMap<Digest, BTreeMap<u64, u64>>,
}

impl Waiting {
    fn due_ms(&self, update: &Update) -> u64 {
        let below = self.by_asset.get(&update.asset).and_then(|due| due.range(..=update.from).next_back());
        below.map_or(0, |(_, due_ms)| *due_ms)
    }

    fn note(&mut self, update: &Update, due_ms: u64) {
        let due = self.by_asset.entry(update.asset).or_default();
        let below = due.range(..=update.version).next_back().map_or(0, |(_, due_ms)| *due_ms);
        due.insert(update.version, due_ms.max(below));
        for above in due.range_mut(update.version..) {
            *above.1 = due_ms.max(*above.1);
        }
    }
}

/// `free`: item, its own wait (Unix ms, 0 = none) and updates.
pub(super) fn schedule<'a>(free: impl Iterator<Item = (Item, u64, &'a [Update])>) -> Vec<(Item, u64)> {
    let mut waiting = Waiting::default();
    let mut schedule = Vec::new();
    for (item, own_ms, updates) in free {
        let due_ms = if waiting.by_asset.is_empty() {
            own_ms
        } else {
            updates.iter().map(|update| waiting.due_ms(update)).fold(own_ms, u64::max)
        };
        if due_ms > 0 {
            for update in updates {
                waiting.note(update, due_ms);
            }
        }
        schedule.push((item, due_ms));
    }
    schedule
}

#[cfg(test)]
mod tests {
    use common::bridge::Update;
    use common::hash::Digest;
    use common::link::Item;

    use super::schedule;

    /// A part's own wait and its updates `(asset, from, version)`.
    type Row = (u64, &'static [(u8, u64, u64)]);

    /// When each part is due.
    fn due(parts: &[Row]) -> Vec<u64> {
        let updates: Vec<Vec<Update>> = parts
            .iter()
            .map(|(_, updates)| {
                let update = |(asset, from, version): &(u8, u64, u64)| Update {
                    asset: Digest([*asset; 32]),
                    from: *from,
                    version: *version,
                    state_hash: Digest::ZERO,
                };
                updates.iter().map(update).collect()
            })
            .collect();
        let free = (1..).zip(parts).zip(&updates);
        let free = free.map(|((seq, (own, _)), updates)| (Item { seq, part: 0 }, *own, updates.as_slice()));
        schedule(free).into_iter().map(|(_, due_ms)| due_ms).collect()
    }

    #[test]
    fn a_part_waits_with_the_free_parts_it_follows() {
        for (what, parts, expected) in [
            ("nothing waits", &[(0, &[(1, 0, 1)][..]), (0, &[(1, 1, 2)])][..], &[0, 0][..]),
            ("the next version waits too", &[(50, &[(1, 0, 1)]), (0, &[(1, 1, 2)])], &[50, 50]),
            (
                "and what follows that",
                &[(50, &[(1, 0, 1)]), (0, &[(1, 1, 2)]), (9, &[(1, 2, 3)])],
                &[50, 50, 50],
            ),
            ("a longer wait of its own stays", &[(50, &[(1, 0, 1)]), (70, &[(1, 1, 2)])], &[50, 70]),
            ("another asset does not wait", &[(50, &[(1, 0, 1)]), (0, &[(2, 1, 2)])], &[50, 0]),
            (
                "one asset of several is enough",
                &[(50, &[(1, 0, 1)]), (0, &[(2, 0, 1), (1, 4, 5)])],
                &[50, 50],
            ),
            (
                "through another asset of the same part",
                &[(50, &[(1, 0, 1)]), (0, &[(1, 1, 2), (2, 0, 1)]), (0, &[(2, 1, 2)])],
                &[50, 50, 50],
            ),
            (
                "an earlier part does not wait for a later one",
                &[(0, &[(1, 0, 1)]), (50, &[(1, 1, 2)])],
                &[0, 50],
            ),
            ("a rollback does not need what it undoes", &[(50, &[(1, 5, 6)]), (0, &[(1, 3, 7)])], &[50, 0]),
            (
                "a lower version that comes later counts for what follows both",
                &[(10, &[(1, 5, 6)]), (50, &[(1, 0, 5)]), (0, &[(1, 6, 7)])],
                &[10, 50, 50],
            ),
        ] {
            assert_eq!(due(parts), expected, "{what}");
        }
    }
}
