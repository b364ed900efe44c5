//! What a service still keeps of a log, and the checkpoints from which one of which the first entries are gone is checked.
//!
//! In: the log route, which answers 410 with `first_seq`, and `GET /v1/checkpoints`. Out: the first entry, and the digests
//! that checkpoints state for entries from there on.

use std::collections::BTreeMap;

use anyhow::bail;
use common::auth::Scope;
use common::hash::Digest;
use common::ids::Shard;
use serde::Deserialize;

use crate::client::{Client, ClientError, Origin};

/// A log that is kept from its entry `first` on.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) first: u64,
    /// By entry the digest that a checkpoint after it states; none is asked for if the log is whole.
    pub(super) checkpoints: BTreeMap<u64, Digest>,
}

#[derive(Deserialize)]
struct List {
    shards: Vec<OfShard>,
}

#[derive(Deserialize)]
struct OfShard {
    shard: Shard,
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
struct Checkpoint {
    seq: u64,
    digest: Digest,
}

impl Kept {
    pub(super) fn whole() -> Self {
        Self { first: 1, checkpoints: BTreeMap::new() }
    }

    /// # Errors
    /// The service does not answer, or names no checkpoint where its log begins later.
    pub(super) async fn of_service(client: &Client, shard: Shard) -> anyhow::Result<Self> {
        let path = format!("/v1/shards/{shard}/log?from_seq=1&limit=1");
        let page: Result<serde_json::Value, ClientError> =
            client.get(Origin::Validator, &path, Scope::Operate).await;
        let first = match page {
            Ok(_) => return Ok(Self::whole()),
            Err(ClientError::Problem(problem)) if problem.status == 410 => {
                problem.extensions.get("first_seq").and_then(serde_json::Value::as_u64)
            }
            Err(error) => return Err(error.into()),
        };
        let Some(first) = first else {
            bail!("the service does not say from which entry on it keeps the log")
        };
        let list: List = client.get(Origin::Validator, "/v1/checkpoints", Scope::Operate).await?;
        let of_shard = list.shards.into_iter().filter(|of| of.shard == shard);
        let checkpoints: BTreeMap<u64, Digest> = of_shard
            .flat_map(|of| of.checkpoints)
            .filter(|checkpoint| checkpoint.seq >= first)
            .map(|checkpoint| (checkpoint.seq, checkpoint.digest))
            .collect();
        if checkpoints.is_empty() {
            bail!("the service keeps the log from entry {first} on and has no checkpoint to begin from");
        }
        Ok(Self { first, checkpoints })
    }
}
