//! The head a service shows, and whether a replay stands there.
//!
//! In: `GET /v1/shards/{S}`, asked before the log is read, so that the log reaches at least that far. Entries that
//! were left out at the end of a log keep its chain of digests whole; only a head tells.

use common::auth::Scope;
use common::hash::Digest;
use common::ids::Shard;
use serde::{Deserialize, Serialize};

use super::replay::{Difference, Replay};
use crate::client::{Client, ClientError, Origin};

/// Where the service says that the shard stands; in a report, what the replay was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    digest: Digest,
    root: Digest,
    aux: Digest,
}

impl Head {
    pub(super) async fn of_service(client: &Client, shard: Shard) -> Result<Self, ClientError> {
        client.get(Origin::Validator, &format!("/v1/shards/{shard}"), Scope::Read).await
    }

    /// A replay that stands at this entry has its digest, root and aux.
    pub(super) fn compare(&self, replay: &Replay) -> Result<(), Difference> {
        let position = replay.position();
        if position.seq != self.seq {
            return Ok(());
        }
        let fields = [
            ("digest", replay.head(), self.digest),
            ("root", position.root, self.root),
            ("aux", position.aux, self.aux),
        ];
        match fields.into_iter().find(|(_, computed, shown)| computed != shown) {
            Some((field, computed, shown)) => Err(Difference::Head { seq: self.seq, field, computed, shown }),
            None => Ok(()),
        }
    }
}
