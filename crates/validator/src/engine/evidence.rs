//! Facts from outside: values taken from observations, and ledger events that back changes.
//!
//! In: a request's changes, its observations and log time; no state. Out: the same changes with every
//! `{"from": …}` replaced by the value it gave, or the errors that say why not. Whether an event was used
//! before is state, and asked in [`execute`](super::execute).
//!
//! - `from`: the first observation of that source with kind `http_json`; its age is log time less `as_of`.
//! - `backed_by`: the observation of that source with kind `event` whose identity ends in
//!   `/<tx>/<position>`; its event must have the change's asset, kind, accounts and amount.
//!
//! Either is refused if its `as_of` lies more than [`FUTURE_MAX_MS`] beyond log time.

use std::borrow::Cow;

use common::amount::Amount;
use common::ids::{Account, AssetId};
use common::observation::{LedgerEvent, LedgerEventKind, Observation, ObservationKind};
use common::request::limits::TERM_VALUE_BYTES_MAX;
use common::request::{BackedBy, Field, FromSource, Op, StateChange, SyncRequest};

use super::codes::{Code, Errors};

mod value;

/// How far the clock of a source may be ahead of log time.
const FUTURE_MAX_MS: u64 = 60_000;

/// The value of a resolved field.
pub(super) fn literal<T>(field: &Field<T>) -> &T {
    match field {
        Field::Literal(value) => Some(value),
        Field::From(_) => None,
    }
    .expect("changes are resolved before they are applied")
}

/// The identity of the event that a change names, if it was collected.
pub(super) fn identity<'a>(backed_by: &BackedBy, observations: &'a [Observation]) -> Option<&'a str> {
    event(backed_by, observations).and_then(|observation| observation.identity.as_deref())
}

fn event<'a>(backed_by: &BackedBy, observations: &'a [Observation]) -> Option<&'a Observation> {
    let ending = format!("/{}", backed_by.event);
    let is_it = |identity: &str| identity.strip_suffix(&ending).is_some_and(|chain| !chain.is_empty());
    observations.iter().find(|observation| {
        observation.source == backed_by.source
            && observation.kind == ObservationKind::Event
            && observation.identity.as_deref().is_some_and(is_it)
    })
}

/// The changes with their values, after every check that needs no state.
pub(super) fn resolve<'a>(
    request: &'a SyncRequest,
    observations: &[Observation],
    time_ms: u64,
    errors: &mut Errors,
) -> Cow<'a, [StateChange]> {
    let mut changes = Cow::Borrowed(request.state_changes.as_slice());
    for (index, change) in request.state_changes.iter().enumerate() {
        let mut place = Place { observations, time_ms, pointer: format!("/state_changes/{index}"), errors };
        let resolved = place.values(&change.op);
        if let Some(backed_by) = &change.backed_by {
            place.event(resolved.as_ref().unwrap_or(&change.op), backed_by, &request.asset.id);
        }
        if let Some(op) = resolved
            && let Some(change) = changes.to_mut().get_mut(index)
        {
            change.op = op;
        }
    }
    changes
}

/// One change under check.
struct Place<'a> {
    observations: &'a [Observation],
    time_ms: u64,
    /// JSON pointer of the change.
    pointer: String,
    errors: &'a mut Errors,
}

impl Place<'_> {
    /// The operation with its values, if it takes any from observations. One that cannot be had stays as
    /// it is and is an error.
    fn values(&mut self, op: &Op) -> Option<Op> {
        let mut op = Cow::Borrowed(op);
        match op.as_ref() {
            Op::Mint { amount: Field::From(from), .. }
            | Op::Burn { amount: Field::From(from), .. }
            | Op::Transfer { amount: Field::From(from), .. } => {
                let taken = self.amount(&from.clone())?;
                if let Op::Mint { amount, .. } | Op::Burn { amount, .. } | Op::Transfer { amount, .. } =
                    op.to_mut()
                {
                    *amount = Field::Literal(taken);
                }
            }
            Op::Register { terms, .. } => {
                let sourced = terms.iter().filter_map(|(key, field)| sourced(field).map(|from| (key, from)));
                for (key, text) in self.texts(sourced) {
                    if let Op::Register { terms, .. } = op.to_mut() {
                        terms.insert(key, Field::Literal(text));
                    }
                }
            }
            Op::SetData { terms, .. } => {
                let fields = terms.iter().filter_map(|(key, field)| field.as_ref().map(|field| (key, field)));
                let sourced = fields.filter_map(|(key, field)| sourced(field).map(|from| (key, from)));
                for (key, text) in self.texts(sourced) {
                    if let Op::SetData { terms, .. } = op.to_mut() {
                        terms.insert(key, Some(Field::Literal(text)));
                    }
                }
            }
            // The figures of an order are its own.
            _ => {}
        }
        match op {
            Cow::Owned(op) => Some(op),
            Cow::Borrowed(_) => None,
        }
    }

    fn amount(&mut self, from: &FromSource) -> Option<Amount> {
        let pointer = format!("{}/amount", self.pointer);
        let raw = self.raw(from, &pointer)?;
        let scale = from.scale.unwrap_or(0);
        let amount = value::text(raw).as_deref().and_then(|text| value::amount(text, scale));
        if amount.is_none() {
            let detail = format!(
                "{} times 10^{scale} is not a whole number above zero and below 2^128",
                super::codes::cut(raw, 64)
            );
            self.errors.add(Code::ValueNotAnAmount, pointer, detail);
        }
        amount
    }

    fn texts<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a String, &'a FromSource)>,
    ) -> Vec<(String, String)> {
        fields.filter_map(|(key, from)| Some((key.clone(), self.term(key, from)?))).collect()
    }

    fn term(&mut self, key: &str, from: &FromSource) -> Option<String> {
        let pointer = format!("{}/terms/{key}", self.pointer);
        let text = value::text(self.raw(from, &pointer)?);
        match text {
            None => {
                self.errors.add(Code::ValueNotText, pointer, "the value is neither a string nor a number");
            }
            Some(text) if text.len() > TERM_VALUE_BYTES_MAX => {
                let detail = format!("the value has {} bytes, at most {TERM_VALUE_BYTES_MAX}", text.len());
                self.errors.add(Code::ValueTooLong, pointer, detail);
            }
            Some(text) => return Some(text),
        }
        None
    }

    /// The JSON text of the value that a field takes.
    fn raw(&mut self, from: &FromSource, pointer: &str) -> Option<&str> {
        let is_document = |o: &&Observation| o.source == from.source && o.kind == ObservationKind::HttpJson;
        let observations = self.observations;
        let Some(observation) = observations.iter().find(is_document) else {
            let detail = format!("source {} gave no document", from.source);
            self.errors.add(Code::ObservationMissing, pointer, detail);
            return None;
        };
        refuse_future(observation, self.time_ms, pointer, self.errors);
        let age_ms = self.time_ms.saturating_sub(observation.as_of_ms);
        if age_ms > u64::from(from.max_age_s) * 1000 {
            let detail = format!("the value is {age_ms} ms old, at most {} s are allowed", from.max_age_s);
            self.errors.add(Code::ObservationTooOld, pointer, detail);
        }
        let found = value::find(observation.value.get(), &from.pointer);
        if found.is_none() {
            let detail = format!("source {} has nothing at {}", from.source, from.pointer);
            self.errors.add(Code::PointerNotFound, pointer, detail);
        }
        found
    }

    fn event(&mut self, op: &Op, backed_by: &BackedBy, asset: &AssetId) {
        let pointer = format!("{}/backed_by", self.pointer);
        let Some(observation) = event(backed_by, self.observations) else {
            let detail = format!("source {} did not give event {}", backed_by.source, backed_by.event);
            self.errors.add(Code::EventNotCollected, pointer, detail);
            return;
        };
        refuse_future(observation, self.time_ms, &pointer, self.errors);
        let differing = match serde_json::from_str::<LedgerEvent>(observation.value.get()) {
            Ok(event) => difference(op, asset, &event),
            Err(_) => Some("form"),
        };
        if let Some(field) = differing {
            let detail = format!("the event differs from the change in: {field}");
            self.errors.add(Code::EventMismatch, pointer, detail);
        }
    }
}

fn refuse_future(observation: &Observation, time_ms: u64, pointer: &str, errors: &mut Errors) {
    let ahead_ms = observation.as_of_ms.saturating_sub(time_ms);
    if ahead_ms > FUTURE_MAX_MS {
        let detail =
            format!("its time is {ahead_ms} ms beyond log time, at most {FUTURE_MAX_MS} are allowed");
        errors.add(Code::ObservationFromFuture, pointer, detail);
    }
}

fn sourced<T>(field: &Field<T>) -> Option<&FromSource> {
    match field {
        Field::From(from) => Some(from),
        Field::Literal(_) => None,
    }
}

/// The first field in which the event is not the change. An amount that could not be had is not compared.
fn difference(op: &Op, asset: &AssetId, event: &LedgerEvent) -> Option<&'static str> {
    let (kind, from, to, amount): (_, Option<&Account>, Option<&Account>, _) = match op {
        Op::Mint { to, amount } => (LedgerEventKind::Mint, None, Some(to), amount),
        Op::Burn { from, amount } => (LedgerEventKind::Burn, Some(from), None, amount),
        Op::Transfer { from, to, amount } => (LedgerEventKind::Transfer, Some(from), Some(to), amount),
        _ => return Some("event"),
    };
    if event.asset != *asset {
        return Some("asset");
    }
    if event.event != kind {
        return Some("event");
    }
    if from.is_some() && from != event.from.as_ref() {
        return Some("from");
    }
    if to.is_some() && to != event.to.as_ref() {
        return Some("to");
    }
    match amount {
        Field::Literal(amount) if *amount != event.amount => Some("amount"),
        Field::Literal(_) | Field::From(_) => None,
    }
}
