//! What the validators keep for ever: asked when a status record has expired, or does not hold all of it.
//!
//! In: a request id and the caller's own `Authorization` header, which the validator checks itself. Out: the
//! decision as a status resource with `record_expired`. The configured validators are asked in turn until one
//! knows the request; it is unknown when at least one says so and none knows it (a standby may lag).

use std::time::Duration;

use actix_web::http::StatusCode;
use common::ids::Rid;
use common::status::{OutcomeKind, Status};
use futures_util::StreamExt as _;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;

use crate::status::{StatusResource, WithdrawnObservation, rfc3339};

const TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What the validators say of a request without a record.
#[derive(Debug)]
pub(crate) enum Decision {
    Known(Box<StatusResource>),
    Unknown,
    /// Nobody could be asked, or nobody knows for sure.
    Unreachable,
}

/// The read APIs of the validators. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Validators {
    bases: Vec<Url>,
    client: reqwest::Client,
}

/// The fields of `GET /v1/decisions/{rid}` used here; it may have more.
#[derive(Debug, Deserialize)]
struct Answer {
    outcome: OutcomeKind,
    seq: u64,
    /// What the record showed last, where the validator says it.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
    #[serde(default)]
    target_chains: Vec<String>,
    #[serde(default)]
    withdrawn: Vec<Gone>,
}

/// One of its withdrawn observations.
#[derive(Debug, Deserialize)]
struct Gone {
    code: String,
    source: String,
    #[serde(default)]
    event: Option<String>,
    block: u64,
    block_hash: String,
    pointer: String,
    seq: u64,
    time_ms: u64,
}

impl From<Gone> for WithdrawnObservation {
    fn from(gone: Gone) -> Self {
        let Gone { code, source, event, block, block_hash, pointer, seq, time_ms } = gone;
        Self { code, source, event, block, block_hash, pointer, seq, at: rfc3339(time_ms) }
    }
}

impl Validators {
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(bases: &[String]) -> Result<Self, reqwest::Error> {
        let bases = bases.iter().filter_map(|base| Url::parse(base).ok()).collect();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { bases, client })
    }

    /// `seq` = the entry that decided it, if that is known: who has not reached it yet waits for it.
    pub(crate) async fn decision(&self, rid: Rid, seq: Option<u64>, authorization: &str) -> Decision {
        let mut answer = Decision::Unreachable;
        for base in &self.bases {
            match self.ask(base, rid, seq, authorization).await {
                Decision::Unreachable => {}
                Decision::Unknown => answer = Decision::Unknown,
                known @ Decision::Known(_) => return known,
            }
        }
        answer
    }

    async fn ask(&self, base: &Url, rid: Rid, seq: Option<u64>, authorization: &str) -> Decision {
        let Ok(mut url) = base.join(&format!("/v1/decisions/{rid}")) else { return Decision::Unreachable };
        url.set_query(seq.map(|seq| format!("min_seq={seq}")).as_deref());
        let sent = self.client.get(url).header(AUTHORIZATION, authorization).send().await;
        let Ok(response) = sent else { return Decision::Unreachable };
        match response.status().as_u16() {
            200 => {}
            status if status == StatusCode::NOT_FOUND.as_u16() => return Decision::Unknown,
            _ => return Decision::Unreachable,
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
                _ => return Decision::Unreachable,
            }
        }
        match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => Decision::Known(Box::new(answer.into_resource(rid))),
            Err(error) => {
                tracing::warn!(%base, %error, "A validator's decision cannot be read");
                Decision::Unreachable
            }
        }
    }
}

impl Answer {
    fn into_resource(self, rid: Rid) -> StatusResource {
        StatusResource {
            id: rid,
            status: self
                .status
                .as_deref()
                .and_then(Status::from_name)
                .unwrap_or_else(|| status_of(self.outcome)),
            asset: None,
            version: 0,
            at: None,
            seq: Some(self.seq),
            outcome: Some(self.outcome),
            code: self.code,
            errors: self.errors,
            sources: std::collections::BTreeMap::new(),
            by: None,
            target_chains: self.target_chains,
            targets: std::collections::BTreeMap::new(),
            ended_at: None,
            errors_cut: false,
            withdrawn_seq: self.withdrawn.last().map(|gone| gone.seq),
            withdrawn: self.withdrawn.into_iter().map(WithdrawnObservation::from).collect(),
            record_expired: true,
        }
    }
}

/// The status an outcome means when nothing else is known of the request.
const fn status_of(outcome: OutcomeKind) -> Status {
    match outcome {
        OutcomeKind::Applied => Status::Committed,
        OutcomeKind::Rejected => Status::Rejected,
        OutcomeKind::Failed => Status::Failed,
        OutcomeKind::Cancelled => Status::Cancelled,
        OutcomeKind::Expired => Status::Expired,
        OutcomeKind::Reverted => Status::RolledBack,
        OutcomeKind::Held | OutcomeKind::Parked => Status::Queued,
    }
}
