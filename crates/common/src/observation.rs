//! What a collector saw at a source: the only way facts from outside enter the log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::amount::Amount;
use crate::hash::Digest;
use crate::ids::{Account, AssetId, Name};

/// One answer of one source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    pub source: Name,
    pub kind: ObservationKind,
    /// What was seen. A [`LedgerEvent`] for an event that backs a change; the source's JSON otherwise.
    /// Kept as the source's own text, so that a number keeps its digits.
    pub value: Box<RawValue>,
    /// The source's own time of the value, Unix ms: by its configured pointer, the block's time, or, where
    /// it names none, the time of fetching.
    pub as_of_ms: u64,
    /// `<CAIP-2 chain>/<tx hash>/<position>` of a single event; free of our names for the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What an auditor needs to check it again: raw log, block, URL path, digest. With `block` and `block_hash`
    /// in it the observation stands only as long as that block does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<RawValue>>,
}

/// The block an observation was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    pub block: u64,
    pub block_hash: Digest,
}

impl Observation {
    /// The block it stands and falls with, if its evidence names one.
    #[must_use]
    pub fn block(&self) -> Option<BlockRef> {
        serde_json::from_str(self.evidence.as_ref()?.get()).ok()
    }
}

impl PartialEq for Observation {
    fn eq(&self, other: &Self) -> bool {
        let texts = |o: &Self| (o.value.get().to_owned(), o.evidence.as_ref().map(|e| e.get().to_owned()));
        (&self.source, self.kind, self.as_of_ms, &self.identity)
            == (&other.source, other.kind, other.as_of_ms, &other.identity)
            && texts(self) == texts(other)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservationKind {
    /// One event that backs a change: `value` is a [`LedgerEvent`], `identity` is set.
    Event,
    /// The matching logs of the source's window: evidence only.
    Logs,
    /// A JSON document of an HTTP source.
    HttpJson,
    /// The bench source that only waits.
    Null,
}

/// An event mapped to our terms by the source's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEvent {
    pub asset: AssetId,
    pub event: LedgerEventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Account>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Account>,
    /// Raw units of the event = the asset's smallest units.
    pub amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerEventKind {
    Mint,
    Burn,
    Transfer,
}
