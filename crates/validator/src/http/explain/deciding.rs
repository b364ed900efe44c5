//! What the archive says of a decided request: its message and its times in the deciding entry, and its receipts in later ones.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Body, Input, InputStream};
use common::ids::{AssetId, Rid};
use common::link::StreamId;
use common::message::{Body as MessageBody, Message};
use common::problem::Problem;
use common::status::Delivery;

use crate::engine::Decision;
use crate::engine::boundary::Deliveries;
use crate::http::broken;
use crate::http::decisions::deciding_entry;
use crate::view::{Page, Snapshot, View};

/// How far behind the deciding entry its receipts are looked for.
const RECEIPTS_PAGE: Page = Page { entries_max: 1_024, bytes_max: 4 << 20 };
/// How many entries per target are looked through for the one that carries a superseded delivery.
const CARRIERS_MAX: usize = 256;

/// One receipt of the carrying entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) state: Delivery,
    /// When it was written, Unix ms of Redis; `None` = the leader's own.
    pub(super) at_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deciding {
    pub(super) accepted_ms: Option<u64>,
    pub(super) collected_ms: Option<u64>,
    /// Log time of the deciding entry; `None` = the archive begins later.
    pub(super) begun_ms: Option<u64>,
    /// Its errors, in words.
    pub(super) details: Vec<String>,
    /// The targets it waits for or has waited for.
    pub(super) waited: BTreeSet<String>,
    /// Those of them it still waits for.
    pub(super) open: BTreeSet<String>,
    /// The entry whose delivery it waits for.
    pub(super) carrier: u64,
    /// Its receipts, if they came soon after it.
    pub(super) receipts: BTreeMap<String, Received>,
}

impl Deciding {
    /// # Errors
    /// The archive or the view cannot be read.
    pub(super) fn read(
        view: &View,
        snapshot: &Snapshot,
        rid: Rid,
        decision: &Decision,
    ) -> Result<Self, Problem> {
        let mut deciding = match deciding_entry(view, decision.seq)? {
            Some(body) => Self::of(&body, rid, decision),
            None => Self { carrier: decision.seq, ..Self::default() },
        };
        let is_delivered = |row: &Deliveries| row.waiting.get(rid.as_bytes()).cloned();
        if decision.outcome == "APPLIED" && decision.delivered.is_none() {
            let (carrier, open) = match snapshot.deliveries(decision.seq).map_err(|error| broken(&error))? {
                Some(row) if is_delivered(&row).is_some() => (decision.seq, is_delivered(&row)),
                _ => match carrier(snapshot, rid, decision.seq)? {
                    Some((seq, open)) => (seq, Some(open)),
                    None => (decision.seq, None),
                },
            };
            deciding.carrier = carrier;
            deciding.open = open.unwrap_or_default();
            deciding.waited.extend(deciding.open.iter().cloned());
        }
        if decision.outcome == "APPLIED" && !deciding.waited.is_empty() {
            deciding.receipts = receipts(view, deciding.carrier)?;
        }
        Ok(deciding)
    }

    fn of(body: &Body, rid: Rid, decision: &Decision) -> Self {
        let about = (rid, decision.fp);
        let outcome = body
            .outcomes
            .iter()
            .find(|outcome| (outcome.rid, outcome.fp) == about && outcome.outcome.is_deciding());
        let errors = outcome.map(|outcome| outcome.errors.as_slice()).unwrap_or_default();
        let words = |pointer: &str, detail: &str| format!("{pointer} {detail}").trim().to_owned();
        let mut deciding = Self {
            begun_ms: Some(body.time_ms),
            details: errors.iter().map(|error| words(&error.pointer, &error.detail)).collect(),
            carrier: decision.seq,
            ..Self::default()
        };
        // Only the request's own message is decoded.
        let text = rid.to_string();
        let mut asked = None;
        for input in body.inputs.iter().filter(|input| input.m.get().contains(&text)) {
            let Ok(message) = Message::decode(&input.bytes()) else { continue };
            let Some(of) = message.about().filter(|of| (of.rid, of.fp) == about) else { continue };
            let arrived_ms = arrived_ms(input);
            let is_own = match &message.body {
                MessageBody::Collected { .. } | MessageBody::Failed { .. } | MessageBody::Command { .. } => {
                    true
                }
                // The message of a request that was cancelled comes later, and is dropped.
                MessageBody::Cancel { .. } => false,
                _ => continue,
            };
            deciding.accepted_ms = deciding.accepted_ms.or(of.accepted_ms);
            if is_own {
                deciding.collected_ms = arrived_ms;
                deciding.accepted_ms = deciding.accepted_ms.or(arrived_ms);
            }
            if let MessageBody::Collected { request, .. } = message.body {
                asked = Some(request);
            }
        }
        if decision.outcome == "APPLIED" {
            let names = asked.as_ref().and_then(|request| request.target_chains.clone());
            deciding.waited = match (names, &asked) {
                (Some(names), _) => names.iter().map(ToString::to_string).collect(),
                (None, asked) => {
                    let touched =
                        |asset: &AssetId| asked.as_ref().is_none_or(|request| request.asset.id == *asset);
                    let updates = body.updates.iter().filter(|update| touched(&update.asset));
                    updates.flat_map(|update| update.from.keys()).map(ToString::to_string).collect()
                }
            };
        }
        deciding
    }
}

fn arrived_ms(input: &Input) -> Option<u64> {
    input.id.parse::<StreamId>().ok().map(StreamId::ms)
}

/// The later entry in which the request waits, and for what.
fn carrier(snapshot: &Snapshot, rid: Rid, seq: u64) -> Result<Option<(u64, BTreeSet<String>)>, Problem> {
    let targets = snapshot.open_targets().map_err(|error| broken(&error))?;
    let mut later = BTreeSet::new();
    for target in targets {
        later.extend(snapshot.open_from(&target, seq + 1, CARRIERS_MAX).map_err(|error| broken(&error))?);
    }
    for seq in later {
        let row = snapshot.deliveries(seq).map_err(|error| broken(&error))?;
        if let Some(open) = row.and_then(|mut row| row.waiting.remove(rid.as_bytes())) {
            return Ok(Some((seq, open)));
        }
    }
    Ok(None)
}

/// The receipts of an entry, the first of each target.
fn receipts(view: &View, seq: u64) -> Result<BTreeMap<String, Received>, Problem> {
    let mut receipts = BTreeMap::new();
    let text = format!("\"seq\":{seq},");
    for entry in view.entries(seq + 1, RECEIPTS_PAGE).map_err(|error| broken(&error))? {
        if !entry.body.windows(text.len()).any(|part| part == text.as_bytes()) {
            continue;
        }
        let body = entry.decode().map_err(|error| broken(&error))?;
        let inputs = body.inputs.iter().filter(|input| input.m.get().contains(&text));
        for input in inputs.filter(|input| matches!(input.s, InputStream::Receipts | InputStream::Local)) {
            let Ok(Message { body: MessageBody::Receipt(receipt), .. }) = Message::decode(&input.bytes())
            else {
                continue;
            };
            if receipt.seq == seq {
                let received = Received { state: receipt.status, at_ms: arrived_ms(input) };
                receipts.entry(receipt.target.to_string()).or_insert(received);
            }
        }
    }
    Ok(receipts)
}
