//! Admission: from the bytes of a body to a request that may be submitted. Pure.
//!
//! In: at most [`limits::BODY_BYTES_MAX`] bytes of JSON. Out: [`Admitted`], or a problem with every fault and its
//! JSON pointer. Checked in this order: nesting, JSON, form ([`SyncRequest::parse`]), configured names. What only
//! the state knows is the validator's to decide.

mod depth;

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use common::hash::Digest;
use common::ids::{IdempotencyKey, Name};
use common::problem::Problem;
use common::request::{Fault, FaultCode, Op, SourceRef, SyncRequest, limits};
use common::targets::Targets;
use serde_json::Value;

use crate::source::{Catalog, Kind};

/// The names a request may use.
#[derive(Debug)]
pub(crate) struct Configured {
    sources: Catalog,
    chains: BTreeSet<Name>,
}

/// A request this collector can take in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) request: SyncRequest,
    /// The bytes the fingerprint covers, which travel in the message.
    pub(crate) canonical: Vec<u8>,
    pub(crate) fp: Digest,
}

/// Reads and checks the body of a submission.
///
/// # Errors
/// 400 for what is not JSON or nested too deep, 422 for what cannot be a request here.
pub(crate) fn admit(body: &[u8], configured: &Configured) -> Result<Admitted, Problem> {
    check(&json(body)?, configured)
}

/// Reads and checks a line of a batch: a request with its idempotency key, if it has one, as a further member.
///
/// # Errors
/// As [`admit`].
pub(crate) fn admit_line(
    line: &[u8],
    configured: &Configured,
) -> Result<(Option<IdempotencyKey>, Admitted), Problem> {
    let mut value = json(line)?;
    let key = value.as_object_mut().and_then(|members| members.remove("idempotency_key"));
    let key = match key {
        None => None,
        Some(key) => Some(key.as_str().and_then(|key| key.parse().ok()).ok_or_else(|| {
            let (pointer, detail) = ("/idempotency_key".to_owned(), IdempotencyKey::FORM.to_owned());
            Problem::of_faults(vec![Fault { pointer, code: FaultCode::Invalid, detail }])
        })?),
    };
    Ok((key, check(&value, configured)?))
}

fn json(body: &[u8]) -> Result<Value, Problem> {
    if !depth::is_within(body, limits::JSON_DEPTH_MAX) {
        let pointer = depth::first_too_deep(body, limits::JSON_DEPTH_MAX);
        let detail = format!("nested deeper than {} levels", limits::JSON_DEPTH_MAX);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "too_deep", "The body is nested too deep")
            .error(pointer, "invalid", detail));
    }
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not JSON").error(
            "",
            "invalid",
            error.to_string(),
        )
    })
}

fn check(value: &Value, configured: &Configured) -> Result<Admitted, Problem> {
    let request = SyncRequest::parse(value).map_err(Problem::of_faults)?;
    let faults = configured.faults(&request);
    if !faults.is_empty() {
        return Err(Problem::of_faults(faults));
    }
    let canonical = request.canonical();
    let fp = Digest::of(&[&canonical]);
    Ok(Admitted { request, canonical, fp })
}

impl Configured {
    pub(crate) fn new(sources: Catalog, targets: &Targets) -> Self {
        Self { sources, chains: targets.iter().map(|target| target.name.clone()).collect() }
    }

    /// Every name of the request that is not configured, or not for this use.
    fn faults(&self, request: &SyncRequest) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, code, detail: String| faults.push(Fault { pointer, code, detail });
        let mut sources = |field: &str, list: &[SourceRef], serves: fn(Kind) -> bool, use_of: &str| {
            for (index, reference) in list.iter().enumerate() {
                let detail = match self.sources.kind(&reference.source) {
                    None => format!("source {} is not configured", reference.source),
                    Some(kind) if !serves(kind) => format!("source {} has no {use_of}", reference.source),
                    Some(_) => continue,
                };
                // A required source is a name in the list, an optional one an object.
                let inner = if reference.required { "" } else { "/source" };
                let pointer = format!("/{field}/{index}{inner}");
                fault(pointer, FaultCode::NotConfigured, detail);
            }
        };
        sources("event_sources", &request.event_sources, Kind::has_events, "ledger events");
        sources("external_apis", &request.external_apis, Kind::has_values, "external values");
        let mut chain = |pointer: String, name: &Name| {
            if !self.chains.contains(name) {
                fault(pointer, FaultCode::NotConfigured, format!("chain {name} is not a configured target"));
            }
        };
        for (index, name) in request.target_chains.iter().flatten().enumerate() {
            chain(format!("/target_chains/{index}"), name);
        }
        for (index, change) in request.state_changes.iter().enumerate() {
            let one = matches!(change.op, Op::AddChain { .. });
            for (position, name) in change.op.chains().iter().enumerate() {
                let field = if one { "chain".to_owned() } else { format!("chains/{position}") };
                chain(format!("/state_changes/{index}/{field}"), name);
            }
        }
        for (index, change) in request.state_changes.iter().enumerate() {
            if let Some(backing) = &change.backed_by
                && self.sources.kind(&backing.source).is_some_and(|kind| kind != Kind::EvmLogs)
            {
                let detail = format!("source {} has no ledger events", backing.source);
                fault(format!("/state_changes/{index}/backed_by/source"), FaultCode::Invalid, detail);
            }
        }
        faults
    }
}
