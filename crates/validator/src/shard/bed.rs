//! What tests of a shard's parts stand on: a Redis and a folder of their own, and messages as collectors send them.

use std::sync::Arc;

use common::entry::InputStream;
use common::ids::{Name, Rid, Shard};
use common::link::{Address, Commands};
use common::message::{About, Body, Message};
use common::request::SyncRequest;
use common::targets::Targets;
use serde_json::{Value, json};
use testkit::redis::{RedisOptions, RedisServer};

use super::ShardState;
use crate::config::ViewSettings;
use crate::engine::RawInput;
use crate::view::View;

/// Where shards live; gone when dropped.
pub(crate) struct Ground {
    pub(crate) redis: RedisServer,
    pub(crate) commands: Commands,
    folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) async fn new(node: &Name) -> Self {
        let redis = RedisServer::start(RedisOptions::default()).expect("redis-server starts");
        let address = Address::new(&redis.url(), None, None).expect("an address");
        let commands = Commands::connect(&address, node).await.expect("connects");
        Self { redis, commands, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The financial shard with its database in `file`; nothing of it is fsynced by time.
    pub(crate) fn shard(&self, file: &str) -> Arc<ShardState> {
        let settings = ViewSettings { cache_bytes: 1 << 20, sync_ms: 3_600_000, undo_entries: 1_024 };
        let view = View::open(&self.folder.path().join(file), Shard::Financial, settings).expect("opens");
        Arc::new(ShardState::new(self.commands.shard(Shard::Financial), view))
    }
}

pub(crate) fn targets(list: &Value) -> Targets {
    serde_json::from_value(json!({ "targets": list })).expect("targets")
}

/// A request about `bond:A` with one state change, collected.
pub(crate) fn collected(change: &Value) -> (Rid, Body) {
    let request = json!({"asset": {"id": "bond:A"}, "state_changes": [change]});
    let request = Box::new(SyncRequest::parse(&request).expect("valid"));
    let (rid, fp) = (Rid::fresh(Shard::Financial), request.fingerprint());
    let about = About { rid, tenant: "demo".parse().expect("a tenant"), fp, accepted_ms: None };
    (rid, Body::Collected { about, request, observations: Vec::new() })
}

pub(crate) fn input(stream: InputStream, id: &str, body: Body) -> RawInput {
    let bytes = Message { id: "m".to_owned(), traceparent: None, body }.encode();
    RawInput { stream, id: id.to_owned(), bytes }
}
