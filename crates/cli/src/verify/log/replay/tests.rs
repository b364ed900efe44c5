//! A small log, made by the engine itself, then replayed whole and with each part of it changed.

use common::amount::Amount;
use common::entry::{Body, InputStream};
use common::ids::{AssetId, Rid, Tenant};
use common::message::{self, About, Message, PartReceipt, Receipt};
use common::request::SyncRequest;
use common::state;
use common::status::{Delivery, OutcomeKind};
use common::targets::Targets;
use serde_json::{Value, json};
use validator::engine::{Divergence, RawInput, Stamp};

use super::*;

const SHARD: Shard = Shard::Financial;

/// Writes entries as a leader would.
#[derive(Debug)]
struct Writer {
    fold: Fold,
    head: Digest,
    entries: Vec<Entry>,
}

impl Writer {
    fn new() -> Self {
        Self { fold: Fold::genesis(SHARD), head: Digest::ZERO, entries: Vec::new() }
    }

    fn write(&mut self, inputs: Vec<(InputStream, message::Body)>) -> Body {
        let seq = self.fold.position().seq + 1;
        let raw = |(index, (stream, body)): (usize, (InputStream, message::Body))| RawInput {
            stream,
            id: if stream == InputStream::Local { String::new() } else { format!("{seq}000-{index}") },
            bytes: Message { id: "test".to_owned(), traceparent: None, body }.encode(),
        };
        let inputs = inputs.into_iter().enumerate().map(raw).collect();
        let stamp = Stamp { epoch: 1, node: "validator-0".to_owned(), time_ms: 1_000 * seq };
        let body = self.fold.write(inputs, stamp).expect("the engine runs");
        let entry = Entry::seal(self.head, &body);
        self.head = entry.digest;
        self.entries.push(entry);
        body
    }
}

fn request(number: u128, request: &Value) -> (InputStream, message::Body) {
    let request = SyncRequest::parse(request).expect("a request");
    let mut bytes = number.to_be_bytes();
    bytes[15] = SHARD.number();
    bytes[0] = u8::try_from(number).expect("a small number");
    let about = About {
        rid: Rid::from_bytes(bytes).expect("a request id"),
        tenant: "demo".parse::<Tenant>().expect("a tenant"),
        fp: request.fingerprint(),
        accepted_ms: None,
    };
    (InputStream::In, message::Body::Collected { about, request: Box::new(request), observations: vec![] })
}

fn transfer(amount: &str) -> Value {
    json!({"asset": {"id": "bond:A"},
        "state_changes": [{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": amount}]})
}

/// Targets; registration and mint; a transfer and one too many; the receipt that ends what waits.
fn small_log() -> Writer {
    let mut writer = Writer::new();
    let targets = json!({"targets": [{"name": "sink", "kind": "null"}]});
    let targets: Targets = serde_json::from_value(targets).expect("targets");
    writer.write(vec![(InputStream::Local, message::Body::Targets(targets))]);
    let register = json!({"asset": {"id": "bond:A"}, "state_changes": [
        {"kind": "REGISTER", "decimals": 0, "chains": ["sink"]}, {"kind": "MINT", "to": "alice", "amount": "10"}]});
    writer.write(vec![request(1, &register)]);
    let body = writer.write(vec![request(2, &transfer("6")), request(3, &transfer("6"))]);
    let outcomes: Vec<OutcomeKind> = body.outcomes.iter().map(|outcome| outcome.outcome).collect();
    assert_eq!(outcomes, [OutcomeKind::Applied, OutcomeKind::Rejected]);
    let part =
        PartReceipt { part: 0, tx: None, block: None, applied: vec![0], stale: vec![], skipped: vec![] };
    let target = "sink".parse().expect("a name");
    let receipt = Receipt { seq: 2, target, status: Delivery::Final, parts: vec![part] };
    writer.write(vec![(InputStream::Receipts, message::Body::Receipt(receipt))]);
    writer
}

fn replay(entries: &[Entry]) -> Result<Replay, Difference> {
    let mut replay = Replay::new(SHARD);
    entries.iter().try_for_each(|entry| replay.take(entry))?;
    Ok(replay)
}

/// The log with one body changed, and every digest after it made to fit: what a forger would hand out.
fn forged(at: usize, change: impl FnOnce(&mut Value)) -> Vec<Entry> {
    let mut entries = small_log().entries;
    let mut body: Value = serde_json::from_slice(&entries[at].body).expect("json");
    change(&mut body);
    entries[at].body = serde_json::to_vec(&body).expect("json");
    let mut head = Digest::ZERO;
    for entry in &mut entries {
        entry.prev = head;
        entry.digest = common::entry::digest(head, &entry.body);
        head = entry.digest;
    }
    entries
}

fn field(result: Result<Replay, Difference>) -> (u64, &'static str) {
    match result {
        Err(Difference::Fold(FoldError::Divergence(Divergence::Field { seq, field, .. }))) => (seq, field),
        other => panic!("a divergence was expected, not {other:?}"),
    }
}

#[test]
fn a_log_replays_to_its_own_head_root_and_aux() {
    let writer = small_log();
    let replay = replay(&writer.entries).expect("equal");
    assert_eq!(replay.head(), writer.head);
    assert_eq!(replay.position(), writer.fold.position());
    assert_eq!(replay.decided(), 3);
    let asset: AssetId = "bond:A".parse().expect("an asset");
    let State::Folded(fold) = &replay.state else { panic!("it is computed") };
    let loaded = fold.values().get(&common::keys::asset_key(&asset)).expect("the asset");
    let record: state::AssetRecord = state::decode(loaded).expect("a record");
    assert_eq!((record.version, record.supply), (2, Amount::new(10)));
}

#[test]
fn a_changed_byte_a_missing_entry_and_a_swapped_one_are_named() {
    let entries = small_log().entries;
    let mut changed = entries.clone();
    let place = changed[2].body.len() / 2;
    changed[2].body[place] ^= 1;
    assert!(matches!(replay(&changed), Err(Difference::Digest { seq: 3 })));
    let missing = [&entries[..1], &entries[2..]].concat();
    assert!(matches!(replay(&missing), Err(Difference::Gap { expected: 2, found: 3 })));
    let mut chained = entries;
    chained[1].prev = Digest([7; 32]);
    chained[1].digest = common::entry::digest(chained[1].prev, &chained[1].body);
    assert!(matches!(replay(&chained), Err(Difference::Chain { seq: 2, .. })));
}

#[test]
fn a_forger_who_fits_every_digest_is_found_by_the_replay() {
    assert!(replay(&forged(2, |_| {})).is_ok(), "re-writing alone changes nothing that is checked");
    let root = |body: &mut Value| body["root"] = json!(Digest([9; 32]));
    assert_eq!(field(replay(&forged(1, root))), (2, "root"));
    let outcome = |body: &mut Value| body["outcomes"][1]["outcome"] = json!("APPLIED");
    assert_eq!(field(replay(&forged(2, outcome))), (3, "outcomes"));
    let update = |body: &mut Value| body["updates"][0]["version"] = json!(9);
    assert_eq!(field(replay(&forged(2, update))), (3, "updates"));
    let aux = |body: &mut Value| body["aux"] = json!(Digest([9; 32]));
    assert_eq!(field(replay(&forged(3, aux))), (4, "aux"));
    // Another amount in an input gives another root.
    let input =
        |body: &mut Value| body["inputs"][0]["m"]["request"]["state_changes"][0]["amount"] = json!("5");
    assert_eq!(field(replay(&forged(2, input))).0, 3);
}
