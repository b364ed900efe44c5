//! `POST /v1/sync-requests/batch`: many requests in one body, a line of JSON each; answered line by line while they
//! come.
//!
//! At most [`IN_FLIGHT_MAX`] lines of a batch are at work, and [`RESULTS_MAX`] results wait for their reader: who does
//! not read is not read from. A batch holds nothing but its connection and its place among `limits.batches_max`,
//! and gives both back when its client neither sends nor takes anything for `limits.request_timeout_ms`.

mod input;
mod lines;

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Principal;
use common::problem::Problem;
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::submit::{self, Taken};
use super::{Api, headers};
use crate::admit;
use crate::rates::Use;
use input::{End, Next};
use lines::{LINE_BYTES_MAX, Line};

const MEDIA_TYPE: &str = "application/x-ndjson";
/// Lines of one batch that are at work at one time.
const IN_FLIGHT_MAX: usize = 32;
/// Results of one batch that wait for their reader.
const RESULTS_MAX: usize = 1_024;
/// Results that go out in one piece, if they are there.
const PIECE_MAX: usize = 64;

/// The result of one line.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LineResult {
    /// Its number, from 1 on; blank lines count.
    line: u64,
    /// What the request would have been answered with alone: 202, or its problem's status.
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// This key was used for this request before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// The last line of the answer; if it is missing, the answer broke off.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct BatchSummary {
    summary: Tally,
}

/// How many lines came to what.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct Tally {
    lines: u64,
    accepted: u64,
    replayed: u64,
    failed: u64,
    /// Why lines after these were not read: too_many_lines, broken_body, too_slow, unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// Submits many sync requests.
///
/// One request per line, each with its own `idempotency_key` as a further member; at most 10,000 lines of 64 KiB.
/// One result per line, in their order, while they come; the last line is a summary. 200 says nothing about the
/// lines. Read while you send: who does not read is not read from. A batch that broke off is sent again with the
/// same keys.
#[utoipa::path(
    post,
    path = "/v1/sync-requests/batch",
    operation_id = "submit_batch",
    tag = "sync requests",
    request_body(content = super::openapi::SyncRequestBody, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "One result per line, at last a BatchSummary", body = LineResult, content_type = "application/x-ndjson"),
        (status = 401, description = "No valid API key", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope submit or regulate", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/x-ndjson", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "backpressure: too many batches are at work; or unavailable", body = common::problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []))
)]
pub(super) async fn submit_batch(
    request: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let principal = api.authorize(&request, &super::SUBMITTING)?;
    headers::check_media_type(request.headers(), MEDIA_TYPE)?;
    api.require_known_data()?;
    let batches = std::sync::Arc::clone(&api.shared.batches);
    let place = batches.try_acquire_owned().map_err(|_| Problem::backpressure())?;
    let traceparent = common::headers::traceparent(request.headers()).map(str::to_owned);
    let (results, answer) = mpsc::channel(RESULTS_MAX);
    // Of its own, so that a client that does not read is noticed: its answer would not be polled any more.
    actix_web::rt::spawn(async move {
        let batch = Batch { api: &api, principal: &principal, traceparent: traceparent.as_deref() };
        batch.work(payload, &results).await;
        drop(place);
    });
    let pieces = stream::unfold(answer, async |mut answer: mpsc::Receiver<Vec<u8>>| {
        let mut results = Vec::with_capacity(PIECE_MAX);
        let count = answer.recv_many(&mut results, PIECE_MAX).await;
        (count > 0).then(|| (Ok::<_, Infallible>(Bytes::from(results.concat())), answer))
    });
    Ok(HttpResponse::Ok()
        .content_type(MEDIA_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(pieces))
}

/// What all lines of a batch have in common.
struct Batch<'a> {
    api: &'a Api,
    principal: &'a Principal,
    traceparent: Option<&'a str>,
}

/// One line, or the end, after its work.
enum Done {
    Line(Box<LineResult>),
    End(End),
}

impl Batch<'_> {
    /// Works through the body until its end, or until nobody takes the results.
    async fn work(&self, payload: Payload, results: &mpsc::Sender<Vec<u8>>) {
        let patience = self.api.shared.patience;
        let next = input::read(payload, patience, self.api.shared.waiters.clone());
        let mut done = std::pin::pin!(next.map(|next| self.one(next)).buffered(IN_FLIGHT_MAX));
        let mut tally = Tally::default();
        while let Some(done) = done.next().await {
            let text = match done {
                Done::Line(result) => {
                    tally.count(&result);
                    json_line(&result)
                }
                Done::End(end) => {
                    tally.stopped = end.code().map(str::to_owned);
                    json_line(&BatchSummary { summary: std::mem::take(&mut tally) })
                }
            };
            if !given(results, text, patience).await {
                return;
            }
        }
    }

    async fn one(&self, next: Next) -> Done {
        match next {
            Next::Line(line) => {
                let number = line.number;
                Done::Line(Box::new(LineResult::of(number, self.line(line).await)))
            }
            Next::End(end) => Done::End(end),
        }
    }

    async fn line(&self, line: Line) -> Result<Taken, Problem> {
        let spent = self.api.shared.rates.spend(&self.principal.key_id, Use::Submit);
        spent.map_err(|(_, problem)| problem)?;
        let text = line.text.ok_or_else(|| headers::too_large(LINE_BYTES_MAX))?;
        let (key, admitted) = admit::admit_line(&text, &self.api.shared.configured)?;
        drop(text);
        self.principal.require_for(&admitted.request)?;
        let (tenant, key) = (self.principal.tenant.clone(), key.as_ref());
        match submit::take_in(self.api, &admitted, tenant, key, self.traceparent).await? {
            Some(taken) => Ok(taken),
            None => Err(submit::conflict("/idempotency_key")),
        }
    }
}

/// Hands a result to the answer; false if the client has gone, or takes nothing.
async fn given(results: &mpsc::Sender<Vec<u8>>, text: Vec<u8>, patience: Duration) -> bool {
    matches!(tokio::time::timeout(patience, results.send(text)).await, Ok(Ok(())))
}

fn json_line(value: &impl Serialize) -> Vec<u8> {
    // Serializing plain data into memory cannot fail.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    text
}

impl LineResult {
    fn of(line: u64, taken: Result<Taken, Problem>) -> Self {
        match taken {
            Ok(taken) => Self {
                line,
                status: StatusCode::ACCEPTED.as_u16(),
                id: Some(taken.view.resource.id.to_string()),
                replayed: taken.is_replayed,
                problem: None,
            },
            Err(problem) => {
                // A line has no header of its own.
                let problem = match problem.retry_after_s {
                    Some(seconds) => problem.extension("retry_after", &seconds),
                    None => problem,
                };
                Self { line, status: problem.status, id: None, replayed: false, problem: Some(problem) }
            }
        }
    }
}

impl Tally {
    fn count(&mut self, result: &LineResult) {
        self.lines += 1;
        let count = match (&result.problem, result.replayed) {
            (Some(_), _) => &mut self.failed,
            (None, true) => &mut self.replayed,
            (None, false) => &mut self.accepted,
        };
        *count += 1;
    }
}
