//! What must hold of a log, whatever happened to the processes: I1 to I4, I6, and outboxes that equal the log.

use std::collections::BTreeMap;

use common::bridge::OutBody;
use common::entry::{Body, Entry};
use common::hash::Digest;
use common::ids::Rid;
use common::status::OutcomeKind;
use serde_json::Value;

use crate::bed::{Bed, Validator, name};

/// The shard's whole log, from the read API.
pub(crate) async fn log(validator: &Validator) -> Vec<(Entry, Body)> {
    let mut entries: Vec<(Entry, Body)> = Vec::new();
    loop {
        let from = entries.len() + 1;
        let page = validator.get(&format!("/v1/shards/financial/log?from_seq={from}&limit=1000")).await;
        assert_eq!(page.status, 200, "{page:?}");
        for line in page.body["entries"].as_array().expect("entries") {
            let entry = entry(line);
            let body = entry.decode().expect("a body");
            entries.push((entry, body));
        }
        if page.body.get("next_from_seq").is_none() {
            return entries;
        }
    }
}

fn entry(line: &Value) -> Entry {
    let digest = |field: &str| line[field].as_str().expect("text").parse().expect("digest");
    Entry {
        seq: line["seq"].as_u64().expect("seq"),
        prev: digest("prev"),
        digest: digest("digest"),
        body: line["body"].as_str().expect("body").as_bytes().to_vec(),
    }
}

/// Gapless, one digest chain, epochs that never fall, and per submitted rid exactly one deciding outcome.
pub(crate) fn check(entries: &[(Entry, Body)], submitted: &BTreeMap<Rid, Digest>) {
    let (mut prev, mut epoch) = (Digest::ZERO, 0);
    let mut decided: BTreeMap<Rid, Vec<OutcomeKind>> = BTreeMap::new();
    for (place, (entry, body)) in (1..).zip(entries) {
        assert_eq!((entry.seq, body.seq), (place, place), "gapless");
        assert_eq!(entry.prev, prev, "chain at {place}");
        assert!(entry.is_intact(), "digest at {place}");
        assert!(body.epoch >= epoch, "epoch at {place}");
        (prev, epoch) = (entry.digest, body.epoch);
        for outcome in &body.outcomes {
            assert_eq!(
                submitted.get(&outcome.rid),
                Some(&outcome.fp),
                "{} was never submitted so",
                outcome.rid
            );
            if outcome.outcome.is_deciding() {
                decided.entry(outcome.rid).or_default().push(outcome.outcome);
            }
        }
    }
    for rid in submitted.keys() {
        assert_eq!(decided.get(rid).map(Vec::len), Some(1), "{rid}: {:?}", decided.get(rid));
    }
}

/// The target's outbox holds exactly the logged updates that name it, each entry once and in order.
pub(crate) async fn check_outbox(bed: &Bed, target: &str, entries: &[(Entry, Body)]) {
    let target = name(target);
    let messages = bed.link().out_after(&target, 0, 5_000).await.expect("reads");
    let found: Vec<(u64, usize, Digest)> = messages
        .iter()
        .map(|message| {
            let body: OutBody = serde_json::from_slice(&message.payload).expect("an OutBody");
            assert_eq!(body.seq, message.id.ms());
            (body.seq, body.parts.iter().map(|part| part.updates.len()).sum(), body.root)
        })
        .collect();
    let expected: Vec<(u64, usize, Digest)> = entries
        .iter()
        .map(|(_, body)| {
            let updates = body.updates.iter().filter(|update| update.from.contains_key(&target)).count();
            (body.seq, updates, body.root)
        })
        .filter(|(_, updates, _)| *updates > 0)
        .collect();
    assert_eq!(found, expected, "outbox of {target}");
}
