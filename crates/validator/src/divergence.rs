//! The dump of an entry that its replay does not reproduce: `divergence-<shard>-<seq>.json` in the data folder.
//!
//! In: the entry as it stands in the log, and what differs. Out: a file for whoever has to find out why: the place, both
//! values, what the replay changes key by key with the values before and after, and the entry's exact text.

use std::io;
use std::path::{Path, PathBuf};

use common::entry::Entry;
use common::ids::Shard;
use serde_json::{Value, json};

use crate::engine::{Divergence, Fault};
use crate::error::chain;

/// Writes the dump; gives its path.
pub(crate) fn dump(
    folder: &Path,
    shard: Shard,
    entry: &Entry,
    divergence: &Divergence,
) -> io::Result<PathBuf> {
    let path = folder.join(format!("divergence-{shard}-{}.json", entry.seq));
    std::fs::write(&path, serde_json::to_vec_pretty(&content(shard, entry, divergence))?)?;
    Ok(path)
}

fn content(shard: Shard, entry: &Entry, divergence: &Divergence) -> Value {
    let mut content = json!({
        "shard": shard,
        "seq": entry.seq,
        "error": chain(divergence),
        "entry": {
            "prev": entry.prev,
            "digest": entry.digest,
            "body": String::from_utf8_lossy(&entry.body),
        },
    });
    match divergence {
        Divergence::Field { field, details, .. } => {
            let hex = |value: &Option<Vec<u8>>| value.as_ref().map(hex::encode_prefixed);
            let changes = details.changes.iter().map(|(key, change)| {
                json!({"key": key, "before": hex(&change.before), "after": hex(&change.after)})
            });
            content["field"] = json!(field);
            content["difference"] = json!(details.difference);
            content["changes"] = changes.collect();
        }
        Divergence::Fault { source: Fault::View { key } | Fault::Record { key, .. }, .. } => {
            content["key"] = json!(key);
        }
        Divergence::Fault { .. } => {}
    }
    content
}
