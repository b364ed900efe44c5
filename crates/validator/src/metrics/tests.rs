use std::time::Duration;

use common::entry::{Body, EntryKind, Input, InputStream, Outcome};
use common::exposition;
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::link::{Backlog, Server, StreamId};

use super::*;
use crate::checkpoint::Header;

/// Every function here records something; the compiler sees to it that each is called from somewhere.
fn record_all() {
    let (shard, took) = (Shard::Financial, Duration::from_millis(3));
    let target = "base".parse().expect("a name");
    let input =
        |s, id: &str| Input { s, id: id.to_owned(), m: serde_json::value::to_raw_value("m").expect("json") };
    let outcome = Outcome {
        rid: Rid::fresh(shard),
        fp: Digest::ZERO,
        outcome: OutcomeKind::Applied,
        code: None,
        errors: Vec::new(),
        version: None,
        dependents: Vec::new(),
    };
    let code = Some("OBSERVATION_WITHDRAWN".to_owned());
    let refused = Outcome { outcome: OutcomeKind::Rejected, code, ..outcome.clone() };
    let body = Body {
        shard,
        seq: 1,
        epoch: 1,
        node: "validator-1".to_owned(),
        kind: EntryKind::Batch,
        time_ms: 9_000,
        ruleset: 0,
        inputs: vec![input(InputStream::In, "1000-0"), input(InputStream::Local, "")],
        outcomes: vec![refused, outcome],
        updates: Vec::new(),
        root: Digest::ZERO,
        aux: Digest::ZERO,
    };
    begin();
    executed(shard, Execution { requests: 9, ahead: 8, repeated: 2 });
    executed(shard, Execution { requests: 4, ..Execution::default() });
    committed(shard, 1, &body, took);
    let rid = Rid::fresh(shard);
    let told = Withdrawal {
        source: "chain".to_owned(),
        identity: None,
        block: 1,
        block_hash: Digest::ZERO,
        pointer: String::new(),
        seq: 1,
        time_ms: 1,
    };
    // One of an entry before is not counted again.
    let earlier = Withdrawal { seq: 0, ..told.clone() };
    withdrawn(shard, &body, &[(rid, vec![earlier, told])].into());
    fenced(shard, "commit", 1);
    step(shard, "relay", took);
    given_up(shard, InputStream::Inx, StreamId::ZERO, 3);
    outbox_full(shard, &target);
    prepared(shard, &target);
    replayed(shard, 1, 2, took);
    trimmed(shard, 1);
    archive_cut(shard, 1);
    checkpoint_written(shard, &found(), took);
    checkpoint_failed(shard, &CheckpointError::Stopped);
    leading(shard, 1, true);
    old_roots(shard, 1, took);
    rebuilt(shard);
    Look { leads: true, is_blocked: false, seq: 1, epoch: 1, waiters: 1 }.at(shard);
    waiting(shard, &Backlog::default(), 0);
    oldest(shard, InputStream::Receipts, took);
    redis(Some(&Server {
        version: "7.0.15".to_owned(),
        memory_used_bytes: 1,
        memory_max_bytes: 2,
        memory_policy: "noeviction".to_owned(),
        is_aof_on: true,
        is_aof_sound: true,
    }));
}

fn found() -> Found {
    let head = crate::view::HeadRow::empty();
    let (text, path) = (String::new, std::path::PathBuf::new());
    let header = Header { shard: text(), generation: text(), schema: text(), undo_entries: 1, head };
    Found { path, hash: Digest::ZERO, bytes: 9, written_ms: 1_500, header }
}

#[test]
fn the_page_shows_what_the_table_says_and_nothing_else() {
    let page = exposition::page_of(record_all);
    let own: [&[Metric]; 2] = [table::TABLE, exposition::STAGES];
    let faults = exposition::faults(&page, &own, true);
    // The stages of this service have no target.
    assert_eq!(faults, ["oss_stage_busy_ratio never has its label target"], "{page}");
    assert!(page.contains(r#"oss_stream_wait_seconds_sum{shard="financial",stream="in"} 8"#), "{page}");
    for effect in ["rejected", "told"] {
        let line = format!(r#"oss_validator_withdrawn_total{{shard="financial",effect="{effect}"}} 1"#);
        assert!(page.contains(&line), "{line}: {page}");
    }
    for (counted, figure) in [("executed", 13), ("reexecuted", 2), ("parallel_batches", 1)] {
        let line = format!(r#"oss_validator_{counted}_total{{shard="financial"}} {figure}"#);
        assert!(page.contains(&line), "{line}: {page}");
    }
    assert!(!page.contains(r#"stream="local""#), "the leader's own facts have not waited");
}

#[test]
fn the_committed_list_of_metrics_is_the_table() {
    testkit::generated::check("validator.metrics.md", &exposition::document("validator", &TABLES));
}
