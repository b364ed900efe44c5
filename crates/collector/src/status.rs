//! The status resource: what a client sees of its request.
//!
//! In: the status record, joined with the delivery progress of its entry. Out: [`StatusResource`] and its
//! ETag `"<version>.<sum of progress versions>"`. `broadcasting` is shown, never stored: a `committed` record
//! of which a waited target is past `relayed`.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::header::{EntityTag, HeaderValue};
use common::ids::{AssetId, Rid, Tenant};
use common::link::{EntryProgress, Link, LinkError, Progress, StatusRecord, StreamId};
use common::status::{Delivery, OutcomeKind, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One request as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusResource {
    /// Request id (UUID); its last byte is the number of its shard.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Rid,
    pub(crate) status: Status,
    /// Known where the request itself is at hand: in the answer to its submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) asset: Option<AssetId>,
    /// Rises with every change of the record.
    pub(crate) version: u64,
    /// When it was accepted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// The log entry that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// What the log decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) outcome: Option<OutcomeKind>,
    /// Why it ended so, as a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Every fault the log found, with JSON pointers into the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(crate) errors: Vec<serde_json::Value>,
    /// Per named source: `pending`, `ok` or the code of its fault.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sources: BTreeMap<String, String>,
    /// The collector that asks them or has asked them last; known until the request is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// The targets `completed` waits for; left out: all of the asset's chains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) target_chains: Vec<String>,
    /// Per target how far its entry is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) targets: BTreeMap<String, TargetState>,
    /// When it ended, RFC 3339, in log time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// The record did not hold all of `errors` and `target_chains`, and no validator could be asked for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) errors_cut: bool,
    /// The log entry that last withdrew an observation of the request: what it rests on is gone. Its outcome stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn_seq: Option<u64>,
    /// What was withdrawn, oldest first; left out where no validator could be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) withdrawn: Vec<WithdrawnObservation>,
    /// The record has expired; this is what the log keeps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) record_expired: bool,
}

/// An observation that was withdrawn after its request had been applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WithdrawnObservation {
    /// `OBSERVATION_WITHDRAWN`.
    pub(crate) code: String,
    pub(crate) source: String,
    /// `<CAIP-2 chain>/<transaction hash>/<position>`; left out for a window of logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
    /// The block it was seen in, which has left its chain.
    pub(crate) block: u64,
    pub(crate) block_hash: String,
    /// JSON pointer into the request.
    pub(crate) pointer: String,
    /// The log entry that says so.
    pub(crate) seq: u64,
    /// Its log time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
}

/// How far the request's entry is on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TargetState {
    pub(crate) state: Delivery,
    /// Transaction hashes, in part order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tx: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) block: Option<u64>,
}

/// A resource with what decides who may see it and whether it has changed.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) resource: StatusResource,
    pub(crate) record: StatusRecord,
    progress_version: u64,
}

impl View {
    /// The request as Redis has it now; `None` = never submitted, or expired.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn load(link: &Link, rid: Rid) -> Result<Option<Self>, LinkError> {
        match link.record(rid).await? {
            Some(record) => Self::of_record(link, record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Joins a record with the progress of its entry, if an entry has decided it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn of_record(link: &Link, record: StatusRecord) -> Result<Self, LinkError> {
        let progress = match delivered_entry(&record) {
            Some(seq) => link.progress(seq).await?,
            None => None,
        };
        Ok(Self::join(record, progress))
    }

    /// As [`Self::of_record`] for several records, in their order, in one round trip.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) async fn of_records(link: &Link, records: Vec<StatusRecord>) -> Result<Vec<Self>, LinkError> {
        let seqs: BTreeSet<u64> = records.iter().filter_map(delivered_entry).collect();
        let seqs: Vec<u64> = seqs.into_iter().collect();
        let progresses = link.progresses(&seqs).await?;
        let known: BTreeMap<u64, Option<EntryProgress>> = seqs.into_iter().zip(progresses).collect();
        let progress = |record: &StatusRecord| known.get(&delivered_entry(record)?).cloned().flatten();
        let views = records.into_iter().map(|record| {
            let progress = progress(&record);
            Self::join(record, progress)
        });
        Ok(views.collect())
    }

    fn join(record: StatusRecord, progress: Option<EntryProgress>) -> Self {
        let progress = progress.unwrap_or_default();
        let waited = names(record.targets.as_deref());
        let status = shown(record.status, &waited, &progress.targets);
        let resource = StatusResource {
            id: record.rid,
            status,
            asset: None,
            version: record.version,
            at: rfc3339(record.at_ms),
            seq: record.seq,
            outcome: record.outcome,
            code: record.code.clone(),
            errors: record
                .errors
                .as_deref()
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default(),
            sources: source_states(record.source_state.as_deref()),
            by: record.by.clone(),
            target_chains: waited,
            targets: progress.targets.into_iter().map(|(name, progress)| (name, progress.into())).collect(),
            ended_at: record.ended_ms.and_then(rfc3339),
            errors_cut: record.is_cut,
            withdrawn_seq: record.withdrawn,
            withdrawn: Vec::new(),
            record_expired: false,
        };
        Self { resource, record, progress_version: progress.version }
    }

    /// What SUBMIT has just written, without reading it back.
    pub(crate) fn accepted(id: StreamId, intent: &Submitted<'_>) -> Self {
        let record = StatusRecord {
            rid: intent.rid,
            tenant: intent.tenant.clone(),
            fp: intent.fp,
            status: Status::Accepted,
            version: 1,
            at_ms: id.ms(),
            source_state: Some(intent.source_state.to_owned()).filter(|state| !state.is_empty()),
            seq: None,
            outcome: None,
            code: None,
            errors: None,
            targets: Some(intent.targets.to_owned()).filter(|targets| !targets.is_empty()),
            by: None,
            ended_ms: None,
            is_cut: false,
            withdrawn: None,
        };
        Self::join(record, None)
    }

    /// Whether something is missing that the validators know.
    pub(crate) fn is_partial(&self) -> bool {
        self.resource.errors_cut
            || (self.resource.withdrawn_seq.is_some() && self.resource.withdrawn.is_empty())
    }

    /// Strong: equal tags mean equal resources.
    pub(crate) fn etag(&self) -> EntityTag {
        EntityTag::new_strong(self.tag())
    }

    /// The text of the ETag.
    pub(crate) fn tag(&self) -> String {
        format!("{}.{}", self.record.version, self.progress_version)
    }
}

/// The entry whose delivery the request shows.
fn delivered_entry(record: &StatusRecord) -> Option<u64> {
    record.seq.filter(|_| record.outcome == Some(OutcomeKind::Applied))
}

/// What of a submission its record repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submitted<'a> {
    pub(crate) rid: Rid,
    pub(crate) tenant: &'a Tenant,
    pub(crate) fp: common::hash::Digest,
    pub(crate) targets: &'a str,
    pub(crate) source_state: &'a str,
}

/// The status a client sees: waited targets are those named, or all of the entry's.
fn shown(status: Status, waited: &[String], targets: &BTreeMap<String, Progress>) -> Status {
    let is_past = |progress: &Progress| progress.state != Delivery::Relayed;
    let is_leaving = if waited.is_empty() {
        targets.values().any(is_past)
    } else {
        waited.iter().filter_map(|name| targets.get(name)).any(is_past)
    };
    if status == Status::Committed && is_leaving { Status::Broadcasting } else { status }
}

fn names(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Reads `<source>=<state>,…`.
fn source_states(text: Option<&str>) -> BTreeMap<String, String> {
    let pairs = text.unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(source, state)| (source.to_owned(), state.to_owned())).collect()
}

pub(crate) fn rfc3339(unix_ms: u64) -> Option<String> {
    let ms = i64::try_from(unix_ms).ok()?;
    jiff::Timestamp::from_millisecond(ms).ok().map(|time| format!("{time:.3}"))
}

/// Whether an `If-None-Match` header names this tag (weak comparison, RFC 9110 §13.1.2).
pub(crate) fn matches(header: &HeaderValue, etag: &EntityTag) -> bool {
    header.to_str().is_ok_and(|text| {
        text.split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.parse::<EntityTag>().is_ok_and(|tag| tag.weak_eq(etag)))
    })
}

/// Whether one of the `If-Match` headers names this tag (strong comparison, RFC 9110 §13.1.1).
pub(crate) fn is_matched<'a>(headers: impl Iterator<Item = &'a HeaderValue>, etag: &EntityTag) -> bool {
    headers
        .filter_map(|header| header.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.parse::<EntityTag>().is_ok_and(|tag| tag.strong_eq(etag)))
}

impl From<Progress> for TargetState {
    fn from(progress: Progress) -> Self {
        Self { state: progress.state, tx: progress.tx, block: progress.block }
    }
}

#[cfg(test)]
mod tests;
