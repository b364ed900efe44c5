//! Step 2: what each message means, in the order taken.
//!
//! In: decoded messages. Out: the requests that go on to be ordered and executed ([`Candidate`]); everything
//! else is decided here, into the draft:
//!
//! | message | effect |
//! |---|---|
//! | unknown schema version | parked; outcome PARKED if it names a request |
//! | unreadable, wrong shard | dead letter; REJECTED `MALFORMED` if it names a request nobody decided |
//! | named by a GIVEN_UP fact before it | dead letter; REJECTED `CRASH` if it names a request nobody decided |
//! | on a stream where its kind does not belong | dead letter |
//! | about a request decided or met before, same tenant and fingerprint | dropped, its status written again |
//! | the same with another one | REJECTED `IDEMPOTENCY_CONFLICT`; the decision stays, and the record shows it |
//! | COLLECTED after its time | EXPIRED `TTL_EXPIRED` |
//! | COLLECTED of an authority's order, not on the express stream | REJECTED `NOT_AUTHORITY` |
//! | COLLECTED from the leader, of a request that waits | it takes its turn again; after its time REJECTED `LOCK_TIMEOUT` or EXPIRED |
//! | about a request that waits, same tenant and fingerprint | dropped, its status written again |
//! | FAILED | FAILED with its code |
//! | CANCEL of an undecided request | CANCELLED: one that waits in this batch is taken out, one still to come will be dropped as decided; an order of an authority stays |
//! | WITHDRAWN | of an undecided request REJECTED `OBSERVATION_WITHDRAWN`, taken out like a CANCEL's; else [`withdrawals`] |
//! | RECEIPT, COMMAND, TARGETS | [`receipts`], [`commands`], [`targets`] |
//! | TIMEOUT | the lock it names ends before anybody takes a turn, if its time is over |

use std::collections::BTreeMap;

use common::entry::{Input, InputStream};
use common::hash::Digest;
use common::ids::{Rid, Shard, Tenant};
use common::message::{About, Body, Command, DecodeError, Failure, Message, Named, Withdrawn};
use common::observation::Observation;
use common::request::SyncRequest;
use common::status::OutcomeKind;
use common::targets::Targets;

use super::boundary::{DeadLetter, Fault};
use super::codes::{Code, DETAIL_BYTES_MAX, Errors, cut};
use super::draft::{Draft, Subject};
use super::footprint::Footprint;
use super::plan::{Planned, Unread};
use super::waiting::{Cause, Waiter};
use super::{commands, receipts, targets, withdrawals};

/// A request that is to be ordered and executed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) about: &'a About,
    pub(super) request: &'a SyncRequest,
    pub(super) observations: &'a [Observation],
    pub(super) footprint: &'a Footprint,
    pub(super) input: &'a Input,
    /// Log time after which it expires, Unix ms; and that of the entry.
    pub(super) deadline_ms: u64,
    pub(super) time_ms: u64,
    /// It was held by an earlier entry.
    pub(super) waits: bool,
}

/// What all messages of a batch are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) shard: Shard,
    /// Log time of the entry.
    pub(super) time_ms: u64,
    /// The log's targets before the entry.
    pub(super) targets: &'a Targets,
}

/// Judges all messages; gives the candidates in order of arrival.
pub(super) fn intake<'a>(
    messages: &'a [Planned],
    context: Context<'_>,
    draft: &mut Draft,
) -> Result<Vec<Candidate<'a>>, Fault> {
    let mut intake = Intake { context, draft, candidates: Vec::new(), waiting: BTreeMap::new() };
    for (position, planned) in messages.iter().enumerate() {
        match &planned.message {
            Ok(message) if !belongs(&message.body, planned.input.s) => {
                intake.set_aside(position, format!("does not belong on {:?}", planned.input.s));
            }
            Ok(message) => intake.message(position, planned, message)?,
            Err(Unread::Undecodable(error)) => intake.unreadable(position, error),
            Err(Unread::GivenUp { attempts, named }) => {
                intake.given_up(position, planned.input.s, *attempts, named);
            }
        }
    }
    Ok(intake.candidates.into_iter().flatten().collect())
}

/// Who may send what: receipts come from broadcasters alone, target lists from the leader itself.
fn belongs(body: &Body, stream: InputStream) -> bool {
    match body {
        Body::Receipt(_) => matches!(stream, InputStream::Receipts | InputStream::Local),
        Body::Targets(_) | Body::GivenUp(_) | Body::TimedOut(_) => stream == InputStream::Local,
        // From the leader only what waits.
        Body::Collected { .. } => {
            matches!(stream, InputStream::In | InputStream::Inx | InputStream::Local)
        }
        // The intake looks for them there alone, to give each an entry of its own.
        Body::Command { command: Command::Rollback { .. }, .. } => stream == InputStream::Inx,
        Body::Failed { .. } | Body::Cancel { .. } | Body::Withdrawn { .. } | Body::Command { .. } => {
            matches!(stream, InputStream::In | InputStream::Inx)
        }
    }
}

/// Whether a message that ends its request may do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenOut {
    Undecided,
    /// Another request of this id waits.
    Not,
}

struct Intake<'a, 'c> {
    context: Context<'c>,
    draft: &'c mut Draft,
    /// In order of arrival; `None` where a cancel came.
    candidates: Vec<Option<Candidate<'a>>>,
    /// Positions among the candidates.
    waiting: BTreeMap<Rid, usize>,
}

impl<'a> Intake<'a, '_> {
    fn message(&mut self, position: usize, planned: &'a Planned, message: &'a Message) -> Result<(), Fault> {
        match &message.body {
            Body::Collected { about, request, observations } => {
                let Some(footprint) = &planned.footprint else { return Ok(()) };
                let input = &planned.input;
                let time_ms = self.context.time_ms;
                let accepted_ms = about.accepted_ms.or_else(|| ms_of(&input.id)).unwrap_or(time_ms);
                let deadline_ms = accepted_ms.saturating_add(u64::from(request.ttl_seconds) * 1000);
                let waits = input.s == InputStream::Local;
                let candidate =
                    Candidate { about, request, observations, footprint, input, deadline_ms, time_ms, waits };
                if waits {
                    self.fed_in(candidate);
                } else {
                    self.collected(position, candidate);
                }
            }
            Body::Failed { about, failure } => self.failed(position, about, failure),
            Body::Cancel { about } => self.cancel(position, about),
            Body::Withdrawn { about, withdrawn } => self.withdrawn(position, about, withdrawn),
            Body::Command { about, command } => {
                if self.is_new(position, about) {
                    commands::run(about, command, self.context.targets, self.draft);
                }
            }
            Body::Receipt(receipt) => receipts::consume(receipt, self.context.targets, self.draft)?,
            Body::Targets(list) => targets::replace(self.context.targets, list, self.draft)?,
            Body::TimedOut(fact) => self.draft.overdue.push((fact.asset.clone(), fact.lock)),
            // It speaks of the input after it.
            Body::GivenUp(_) => {}
        }
        Ok(())
    }

    /// A request that waits takes its turn again, or its time is over. Anything else is of no effect.
    fn fed_in(&mut self, candidate: Candidate<'a>) {
        let Candidate { about, request, input, time_ms, .. } = candidate;
        let Some(waiter) = self.draft.waiter(about.rid).filter(|waiter| waiter.message == input.bytes())
        else {
            return;
        };
        if self.waiting.contains_key(&about.rid) {
            return;
        }
        if waiter.ends_ms() >= time_ms {
            self.waiting.insert(about.rid, self.candidates.len());
            self.candidates.push(Some(candidate));
            return;
        }
        let (outcome, errors) = over(waiter, request, time_ms);
        self.draft.end(about.into(), outcome, errors);
    }

    fn collected(&mut self, position: usize, candidate: Candidate<'a>) {
        let Candidate { about, request, input, deadline_ms, .. } = candidate;
        if !self.is_new(position, about) {
            return;
        }
        if request.shard() != self.context.shard {
            self.set_aside(position, format!("{} belongs to shard {}", request.asset.id, request.shard()));
            self.reject_unread(about.into(), Code::Malformed, "the asset belongs to another shard");
            return;
        }
        if deadline_ms < self.context.time_ms {
            let detail = format!("the deadline was {deadline_ms}, log time is {}", self.context.time_ms);
            let errors = Errors::one(Code::TtlExpired, "/ttl_seconds", detail);
            self.draft.end(about.into(), OutcomeKind::Expired, errors);
            return;
        }
        // Who writes there has checked for whom the key acts.
        if request.is_regulatory() && input.s != InputStream::Inx {
            let detail = "a regulatory request comes on the express stream alone";
            self.draft.end(
                about.into(),
                OutcomeKind::Rejected,
                Errors::one(Code::NotAuthority, "/authority", detail),
            );
            return;
        }
        self.waiting.insert(about.rid, self.candidates.len());
        self.candidates.push(Some(candidate));
    }

    fn failed(&mut self, position: usize, about: &About, failure: &Failure) {
        if self.is_new(position, about) {
            let code = cut(&failure.code, 64);
            let pointer = failure.pointer.as_deref().map_or("", |pointer| cut(pointer, DETAIL_BYTES_MAX));
            let detail = cut(&failure.detail, DETAIL_BYTES_MAX);
            let errors = Errors::reported(code, pointer, detail);
            self.draft.end(about.into(), OutcomeKind::Failed, errors);
        }
    }

    fn cancel(&mut self, position: usize, about: &About) {
        if self.is_foreign(position, about.rid) || self.draft.decision(about.rid).is_some() {
            return;
        }
        if self.take_out(about) == TakenOut::Not {
            return;
        }
        let errors = Errors::one(Code::Cancelled, "", "cancelled before it was decided");
        self.draft.end(about.into(), OutcomeKind::Cancelled, errors);
    }

    fn withdrawn(&mut self, position: usize, about: &About, withdrawn: &Withdrawn) {
        if self.is_foreign(position, about.rid) {
            return;
        }
        if let Some(decision) = self.draft.decision(about.rid) {
            if is_of(&decision.tenant, decision.fp, &about.tenant, about.fp) {
                withdrawals::tell(about.rid, withdrawn, self.context.time_ms, self.draft);
            }
        } else if self.take_out(about) == TakenOut::Undecided {
            self.draft.end(about.into(), OutcomeKind::Rejected, withdrawals::refusal(withdrawn));
        }
    }

    /// Takes the undecided request out of the batch, if it waits in it.
    fn take_out(&mut self, about: &About) -> TakenOut {
        if let Some(place) = self.waiting.get(&about.rid).copied() {
            let candidate = self.candidates.get_mut(place);
            // An order is not taken back by whoever may submit for its tenant: another order undoes it.
            let may = |c: Candidate<'_>| same(c.about, about) && !c.request.is_regulatory();
            let Some(candidate) = candidate.filter(|c| c.is_some_and(may)) else {
                return TakenOut::Not;
            };
            *candidate = None;
            self.waiting.remove(&about.rid);
        } else if let Some(waiter) = self.draft.waiter(about.rid)
            && (waiter.is_order || !is_of(&waiter.tenant, waiter.fp, &about.tenant, about.fp))
        {
            return TakenOut::Not;
        }
        TakenOut::Undecided
    }

    /// Whether the message is the first about its request; if not, what it asks for is settled here.
    fn is_new(&mut self, position: usize, about: &About) -> bool {
        if self.is_foreign(position, about.rid) {
            return false;
        }
        let met =
            self.waiting.get(&about.rid).and_then(|place| self.candidates.get(*place).copied().flatten());
        if let Some(met) = met {
            if !same(met.about, about) {
                self.draft.refuse_conflict(about.into());
            }
            return false;
        }
        if let Some(waiter) = self.draft.waiter(about.rid) {
            if is_of(&waiter.tenant, waiter.fp, &about.tenant, about.fp) {
                self.draft.restore_waiting(about.into());
            } else {
                self.draft.refuse_conflict(about.into());
            }
            return false;
        }
        let Some(decision) = self.draft.decision(about.rid) else { return true };
        if is_of(&decision.tenant, decision.fp, &about.tenant, about.fp) {
            self.draft.restore_status(about.rid);
        } else {
            self.draft.refuse_conflict(about.into());
        }
        false
    }

    /// Another shard's log decides this request; here nothing may be said of it.
    fn is_foreign(&mut self, position: usize, rid: Rid) -> bool {
        let foreign = rid.shard() != self.context.shard;
        if foreign {
            self.set_aside(position, format!("request {rid} belongs to shard {}", rid.shard()));
        }
        foreign
    }

    fn unreadable(&mut self, position: usize, error: &DecodeError) {
        match error {
            DecodeError::UnknownVersion { rid, fp, .. } => {
                self.draft.parked.push(position);
                if let (Some(rid), Some(fp)) = (rid, fp) {
                    self.draft.park(*rid, *fp);
                }
            }
            DecodeError::Malformed { detail, rid, tenant, fp } => {
                self.set_aside(position, detail.clone());
                if let (Some(rid), Some(fp)) = (*rid, *fp) {
                    let about = Subject { rid, tenant: tenant.as_ref(), fp };
                    self.reject_unread(about, Code::Malformed, detail);
                }
            }
        }
    }

    /// The process died over it, so nothing of it is tried again.
    fn given_up(&mut self, input: usize, stream: InputStream, attempts: u64, named: &Named) {
        let error = "the process died over this message each time it took it up";
        let code = Code::Crash;
        self.draft.dead.push(DeadLetter { input, code: code.name(), error: error.to_owned(), attempts });
        if let Named { rid: Some(rid), tenant, fp: Some(fp) } = named {
            if stream == InputStream::Local && self.draft.waiter(*rid).is_some_and(|waiter| waiter.fp == *fp)
            {
                let about = Subject { rid: *rid, tenant: tenant.as_ref(), fp: *fp };
                self.draft.end(about, OutcomeKind::Rejected, Errors::one(code, "", error));
                return;
            }
            self.reject_unread(Subject { rid: *rid, tenant: tenant.as_ref(), fp: *fp }, code, error);
        }
    }

    /// The request can never be read, so it ends; unless another message speaks for it.
    fn reject_unread(&mut self, about: Subject<'_>, code: Code, detail: &str) {
        let settled = self.draft.decision(about.rid).is_some()
            || self.draft.waiter(about.rid).is_some()
            || self.waiting.contains_key(&about.rid);
        if about.rid.shard() == self.context.shard && !settled {
            let errors = Errors::one(code, "", cut(detail, DETAIL_BYTES_MAX));
            self.draft.end(about, OutcomeKind::Rejected, errors);
        }
    }

    fn set_aside(&mut self, input: usize, error: String) {
        self.draft.dead.push(DeadLetter { input, code: Code::Malformed.name(), error, attempts: 1 });
    }
}

fn same(a: &About, b: &About) -> bool {
    a.tenant == b.tenant && a.fp == b.fp
}

/// A decision without a tenant is of a message that did not tell it.
fn is_of(decided_tenant: &str, decided_fp: Digest, tenant: &Tenant, fp: Digest) -> bool {
    decided_fp == fp && (decided_tenant.is_empty() || decided_tenant == tenant.as_str())
}

/// How a request ends whose time to wait is over.
fn over(waiter: &Waiter, request: &SyncRequest, time_ms: u64) -> (OutcomeKind, Errors) {
    match &waiter.cause {
        Cause::Lock { until_ms } if waiter.deadline_ms >= time_ms => {
            let detail = format!("it waited for the asset until {until_ms}, log time is {time_ms}");
            (OutcomeKind::Rejected, Errors::one(Code::LockTimeout, "/asset/id", detail))
        }
        cause => {
            let detail = format!("the deadline was {}, log time is {time_ms}", waiter.deadline_ms);
            let mut errors = Errors::one(Code::TtlExpired, "/ttl_seconds", detail);
            if let Cause::Dependency { rid } = cause
                && let Some(index) = request.depends_on.iter().position(|named| named.as_bytes() == rid)
            {
                let detail = format!("request {} is not decided", request.depends_on[index]);
                errors.add(Code::DependencyNotApplied, format!("/depends_on/{index}"), detail);
            }
            (OutcomeKind::Expired, errors)
        }
    }
}

/// The ms part of a stream id `<ms>-<n>`.
fn ms_of(stream_id: &str) -> Option<u64> {
    stream_id.split_once('-')?.0.parse().ok()
}
