//! What the validator showed while a run went on, against the log it left: I4.
//!
//! A log that is dense and chained at the end may still be another one than somebody read earlier. So a run
//! under faults is watched: each number has one digest for ever, whoever led when it was shown.

use std::collections::{BTreeMap, BTreeSet};

use common::hash::Digest;
use common::ids::Shard;

use super::{Evidence, Violation};
use crate::stack::Api;

/// Entries shown so far; grows with the run.
#[derive(Debug, Default)]
pub struct Sightings {
    seen: BTreeSet<(Shard, u64, Digest)>,
    /// Where the next page of each shard begins.
    next: BTreeMap<Shard, u64>,
}

impl Sightings {
    /// Notes every shard's head and the entries that are new since the last look. Who does not answer, as
    /// happens under faults, shows nothing.
    pub async fn look(&mut self, api: &Api) {
        for shard in Shard::ALL {
            if let Ok(position) = api.position(shard).await
                && position.seq > 0
            {
                self.seen.insert((shard, position.seq, position.digest));
            }
            let next = self.next.entry(shard).or_insert(1);
            for entry in api.log_page(shard, *next).await.unwrap_or_default() {
                *next = entry.seq + 1;
                self.seen.insert((shard, entry.seq, entry.digest));
            }
        }
    }

    /// Shard, number and digest of each entry.
    #[must_use]
    pub fn into_seen(self) -> BTreeSet<(Shard, u64, Digest)> {
        self.seen
    }
}

/// I4: whatever was shown as entry n of a shard is its entry n at the end.
///
/// # Errors
/// [`Violation::OtherDigest`].
pub fn seen_stays(evidence: &Evidence) -> Result<(), Violation> {
    let digests = |(shard, log): (&Shard, &Vec<common::entry::Entry>)| {
        let shard = *shard;
        log.iter().map(move |entry| ((shard, entry.seq), entry.digest)).collect::<Vec<_>>()
    };
    let logged: BTreeMap<(Shard, u64), Digest> = evidence.logs.iter().flat_map(digests).collect();
    for (shard, seq, seen) in &evidence.seen {
        let (shard, seq, seen) = (*shard, *seq, *seen);
        let logged = logged.get(&(shard, seq)).copied();
        if logged != Some(seen) {
            return Err(Violation::OtherDigest { shard, seq, seen, logged });
        }
    }
    Ok(())
}
