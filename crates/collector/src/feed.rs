//! The live feed of all shards' notifications, with the tenants they concern: for those who stream.
//!
//! In: entries of `:status`, from the watchers, while somebody follows. Out: [`Told`], to every follower at its own
//! pace; one that is too slow is told that it has missed something. A delivery names an entry only, so it can be
//! told of the entries whose commit went through this feed before.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::{Name, Rid, Shard, Tenant};
use common::link::{Entry, Link, LinkError, Notification, StreamId};
use common::status::Delivery;
use tokio::sync::broadcast;

/// What a follower may be behind.
const TOLD_MAX: usize = 256;
/// Entries of a shard whose requests are remembered, and how many requests in all.
const RECENT_MAX: usize = 1_024;
const RECENT_RIDS_MAX: usize = 16_384;

/// The requests of a log entry, by tenant.
pub(crate) type Owners = BTreeMap<Tenant, Vec<Rid>>;

/// Something happened in a shard.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) shard: Shard,
    pub(crate) id: StreamId,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The records of these requests have changed.
    Changed { seq: u64, owners: Arc<Owners> },
    /// The work of an entry with these requests has moved on one target.
    Delivery { seq: u64, target: Name, state: Delivery, owners: Arc<Owners> },
    /// Something may be missing here.
    Gap,
    /// The service ends.
    Closing,
}

/// Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Live(broadcast::Sender<Told>);

impl Live {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(TOLD_MAX))
    }

    /// Follows from here on. Read where the streams end afterwards: what comes later is told.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Told> {
        self.0.subscribe()
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn tell(&self, told: Told) {
        // Nobody follows: nobody misses it.
        drop(self.0.send(told));
    }

    pub(crate) fn close(&self) {
        self.tell(Told { shard: Shard::Financial, id: StreamId::ZERO, what: What::Closing });
    }
}

/// The requests of the last entries of a shard.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    by_seq: BTreeMap<u64, Arc<Owners>>,
    rids: usize,
}

impl Recent {
    fn add(&mut self, seq: u64, owners: Arc<Owners>) {
        self.rids += count(&owners);
        if let Some(replaced) = self.by_seq.insert(seq, owners) {
            self.rids -= count(&replaced);
        }
        while self.by_seq.len() > RECENT_MAX || self.rids > RECENT_RIDS_MAX {
            let Some((_, oldest)) = self.by_seq.pop_first() else { break };
            self.rids -= count(&oldest);
        }
    }
}

fn count(owners: &Owners) -> usize {
    owners.values().map(Vec::len).sum()
}

/// How many requests the entries name.
pub(crate) fn named(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.text("rids").map_or(0, |rids| rids.split(',').count())).sum()
}

/// Finds out whom entries of `:status` concern. A request whose record is gone concerns nobody any more.
///
/// # Errors
/// See [`LinkError`].
pub(crate) async fn attribute(
    link: &Link,
    entries: &[Entry],
    recent: &mut Recent,
) -> Result<Vec<Told>, LinkError> {
    let mut told = Vec::with_capacity(entries.len());
    for entry in entries {
        let what = match Notification::read(entry) {
            None => continue,
            Some(Notification::Committed { seq, rids }) => {
                let mut owners = Owners::new();
                for record in link.records_each(&rids).await?.into_iter().flatten().flatten() {
                    owners.entry(record.tenant).or_default().push(record.rid);
                }
                let owners = Arc::new(owners);
                recent.add(seq, Arc::clone(&owners));
                What::Changed { seq, owners }
            }
            Some(Notification::Delivery { seq, target, state }) => match recent.by_seq.get(&seq) {
                Some(owners) => What::Delivery { seq, target, state, owners: Arc::clone(owners) },
                None => continue,
            },
        };
        told.push(Told { shard: link.shard(), id: entry.id, what });
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::ids::{Rid, Shard};

    use super::{Owners, RECENT_MAX, RECENT_RIDS_MAX, Recent};

    fn owners(rids: usize) -> Arc<Owners> {
        let tenant = "demo".parse().expect("a tenant");
        Arc::new(Owners::from([(tenant, vec![Rid::fresh(Shard::Gaming); rids])]))
    }

    #[test]
    fn what_is_remembered_of_entries_is_bounded_by_entries_and_by_requests() {
        let mut recent = Recent::default();
        (1..=5_000).for_each(|seq| recent.add(seq, owners(1)));
        assert_eq!((recent.by_seq.len(), recent.rids), (RECENT_MAX, RECENT_MAX));
        assert!(recent.by_seq.contains_key(&5_000) && !recent.by_seq.contains_key(&1));
        (5_001..=5_100).for_each(|seq| recent.add(seq, owners(768)));
        assert!(recent.rids <= RECENT_RIDS_MAX && recent.rids > RECENT_RIDS_MAX - 768);
        recent.add(5_100, owners(1));
        assert_eq!(recent.rids, recent.by_seq.values().map(|owners| super::count(owners)).sum::<usize>());
    }
}
