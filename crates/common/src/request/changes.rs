//! The JSON forms of the state change kinds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fields::{FaultCode, Fields, Place};
use super::{BackedBy, Document, EventRef, Field, FromSource, Op, StateChange, limits};
use crate::amount::Amount;
use crate::hash::Digest;
use crate::ids::{Account, AssetId, Name};

mod corporate;
mod lock;
mod regulatory;

/// Kinds of the design whose features do not exist yet. A party is of no asset, while a request and what rests on it are of
/// one.
const LATER_KINDS: [&str; 1] = ["SET_PARTY"];

/// What the rest of the request says. `None`: it cannot be read, so nothing is judged by it.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) asset: Option<&'a AssetId>,
    /// The sources the request lists; a change may use only these.
    pub(super) named: Option<&'a BTreeSet<Name>>,
}

/// Reads `state_changes`.
pub(super) fn read(value: &Value, place: &Place<'_>, known: Known<'_>) -> Option<Vec<StateChange>> {
    let changes =
        place.array(value, limits::STATE_CHANGES_MAX, |value, place| change(value, place, known))?;
    if changes.is_empty() {
        return place.fault(FaultCode::Invalid, "name at least one change");
    }
    let mut backing = BTreeSet::new();
    for (index, event) in changes.iter().enumerate().filter_map(|(i, c)| c.backed_by.as_ref().map(|b| (i, b)))
    {
        if !backing.insert((&event.source, &event.event)) {
            place
                .index(index)
                .key("backed_by")
                .fault::<()>(FaultCode::Invalid, "this event backs another change");
        }
    }
    Some(changes)
}

fn change(value: &Value, place: &Place<'_>, known: Known<'_>) -> Option<StateChange> {
    let Value::Object(map) = value else {
        return place.fault(FaultCode::Invalid, "expected an object");
    };
    let kind_place = place.key("kind");
    let kind = match map.get("kind") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(_) => return kind_place.fault(FaultCode::Invalid, "expected a string"),
        None => return kind_place.fault(FaultCode::Missing, "is required"),
    };
    let own: &[&str] = match kind {
        "REGISTER" => &["kind", "asset", "backed_by", "decimals", "chains", "terms", "documents"],
        "ADD_CHAIN" => &["kind", "asset", "backed_by", "chain"],
        "MINT" => &["kind", "asset", "backed_by", "to", "amount"],
        "BURN" => &["kind", "asset", "backed_by", "from", "amount"],
        "TRANSFER" => &["kind", "asset", "backed_by", "from", "to", "amount"],
        "SET_DATA" => &["kind", "asset", "backed_by", "terms", "documents"],
        "LOCK" => &["kind", "asset", "reason", "seconds"],
        "UNLOCK" => &["kind", "asset", "lock"],
        "RECORD_SNAPSHOT" => &["kind", "asset", "backed_by", "date"],
        "INTEREST_PAYMENT" | "PRINCIPAL_REPAYMENT" => corporate::PAYMENT_FIELDS,
        "CLAIM" => &["kind", "asset", "backed_by", "event", "date", "account"],
        "FREEZE" | "UNFREEZE" => &["kind", "asset", "account", "amount"],
        "SEIZE" | "RELEASE" | "RESTRICT" | "UNRESTRICT" => &["kind", "asset", "account"],
        "CONFISCATE" => &["kind", "asset", "account", "to"],
        "LIQUIDATE" | "RECOVER" => &["kind", "asset", "from", "to", "amount"],
        later if LATER_KINDS.contains(&later) => {
            return kind_place.fault(FaultCode::NotSupported, format!("{later} is not supported yet"));
        }
        _ => return kind_place.fault(FaultCode::Invalid, "is not a kind of state change"),
    };
    let fields = place.object(value, own)?;
    same_asset(&fields, known.asset);
    let op = match kind {
        "REGISTER" => register(&fields, known),
        "ADD_CHAIN" => fields.required("chain", |v, p| p.text::<Name>(v)).map(|chain| Op::AddChain { chain }),
        "MINT" => {
            let (to, amount) = (account(&fields, "to"), amount(&fields, known));
            Some(Op::Mint { to: to?, amount: amount? })
        }
        "BURN" => {
            let (from, amount) = (account(&fields, "from"), amount(&fields, known));
            Some(Op::Burn { from: from?, amount: amount? })
        }
        "TRANSFER" => transfer(&fields, known),
        "SET_DATA" => set_data(&fields, known),
        "LOCK" => lock::lock(&fields),
        "UNLOCK" => lock::unlock(&fields, known.asset),
        "RECORD_SNAPSHOT" => corporate::record_snapshot(&fields),
        "INTEREST_PAYMENT" => corporate::payment(&fields, known).map(Op::InterestPayment),
        "PRINCIPAL_REPAYMENT" => corporate::payment(&fields, known).map(Op::PrincipalRepayment),
        "CLAIM" => corporate::claim(&fields),
        _ => regulatory::read(kind, &fields),
    };
    let backed_by = fields.optional("backed_by", |value, place| backing(value, place, kind, known));
    Some(StateChange { op: op?, backed_by: backed_by? })
}

/// A change may repeat the request's asset; several assets in one request are a later feature.
fn same_asset(fields: &Fields<'_>, asset: Option<&AssetId>) {
    fields.optional("asset", |value, place| own_asset(value, place, asset));
}

fn own_asset(value: &Value, place: &Place<'_>, asset: Option<&AssetId>) -> Option<AssetId> {
    let named = place.text::<AssetId>(value)?;
    match asset {
        Some(asset) if named.shard() != asset.shard() => {
            place.fault(FaultCode::CrossShard, format!("{named} belongs to shard {}", named.shard()))
        }
        Some(asset) if named != *asset => {
            place.fault(FaultCode::NotSupported, "several assets in one request are not supported yet")
        }
        _ => Some(named),
    }
}

fn register(fields: &Fields<'_>, known: Known<'_>) -> Option<Op> {
    let decimals = fields.required("decimals", |v, p| p.integer(v, 0, u64::from(limits::DECIMALS_MAX)));
    let chains = fields.required("chains", |value, place| {
        let chains = place.array(value, limits::TARGET_CHAINS_MAX, |v, p| p.text::<Name>(v))?;
        let set: BTreeSet<Name> = chains.iter().cloned().collect();
        if chains.is_empty() {
            return place.fault(FaultCode::Invalid, "name at least one chain");
        }
        if set.len() < chains.len() {
            return place.fault(FaultCode::Invalid, "names a chain twice");
        }
        Some(set.into_iter().collect::<Vec<_>>())
    });
    let terms = map_of(fields, "terms", limits::TERMS_MAX, is_term_key, |v, p| term(v, p, known));
    let documents = map_of(fields, "documents", limits::DOCUMENTS_MAX, is_term_key, document);
    Some(Op::Register {
        decimals: u8::try_from(decimals?).ok()?,
        chains: chains?,
        terms: terms?,
        documents: documents?,
    })
}

fn transfer(fields: &Fields<'_>, known: Known<'_>) -> Option<Op> {
    let (accounts, amount) = (accounts(fields), amount(fields, known));
    let (from, to) = accounts?;
    Some(Op::Transfer { from, to, amount: amount? })
}

fn set_data(fields: &Fields<'_>, known: Known<'_>) -> Option<Op> {
    let terms = map_of(fields, "terms", limits::TERMS_MAX, is_term_key, |v, p| match v {
        Value::Null => Some(None),
        _ => term(v, p, known).map(Some),
    });
    let documents = map_of(fields, "documents", limits::DOCUMENTS_MAX, is_term_key, |v, p| match v {
        Value::Null => Some(None),
        _ => document(v, p).map(Some),
    });
    let (terms, documents) = (terms?, documents?);
    if terms.is_empty() && documents.is_empty() {
        return fields.place().fault(FaultCode::Invalid, "sets nothing: name terms or documents");
    }
    Some(Op::SetData { terms, documents })
}

fn account(fields: &Fields<'_>, key: &str) -> Option<Account> {
    fields.required(key, |v, p| p.text::<Account>(v))
}

fn amount(fields: &Fields<'_>, known: Known<'_>) -> Option<Field<Amount>> {
    fields.required("amount", |value, place| match value {
        Value::Object(_) => from_source(value, place, known, true).map(Field::From),
        _ => above_zero(value, place).map(Field::Literal),
    })
}

fn above_zero(value: &Value, place: &Place<'_>) -> Option<Amount> {
    match place.text::<Amount>(value)? {
        Amount::ZERO => place.fault(FaultCode::Invalid, "must be above zero"),
        amount => Some(amount),
    }
}

/// The accounts of a move: two different ones.
fn accounts(fields: &Fields<'_>) -> Option<(Account, Account)> {
    let (from, to) = (account(fields, "from"), account(fields, "to"));
    let (from, to) = (from?, to?);
    if from == to {
        return fields.place().key("to").fault(FaultCode::Invalid, "must differ from the sender");
    }
    Some((from, to))
}

fn term(value: &Value, place: &Place<'_>, known: Known<'_>) -> Option<Field<String>> {
    match value {
        Value::Object(_) => from_source(value, place, known, false).map(Field::From),
        Value::String(text) if text.len() <= limits::TERM_VALUE_BYTES_MAX => {
            Some(Field::Literal(text.clone()))
        }
        Value::String(_) => {
            place.fault(FaultCode::Invalid, format!("at most {} bytes", limits::TERM_VALUE_BYTES_MAX))
        }
        _ => place.fault(FaultCode::Invalid, "expected a string"),
    }
}

fn from_source(value: &Value, place: &Place<'_>, known: Known<'_>, scaled: bool) -> Option<FromSource> {
    let allowed: &[&str] =
        if scaled { &["from", "pointer", "max_age_s", "scale"] } else { &["from", "pointer", "max_age_s"] };
    let fields = place.object(value, allowed)?;
    let source = fields.required("from", |v, p| listed_source(v, p, known));
    let pointer = fields.required("pointer", |value, place| match value {
        Value::String(text) if is_json_pointer(text) => Some(text.clone()),
        _ => place.fault(FaultCode::Invalid, "expected a JSON pointer (RFC 6901) of at most 256 bytes"),
    });
    let max_age_s = fields.required("max_age_s", |v, p| p.integer(v, 1, u64::from(u32::MAX)));
    let scale = fields.optional("scale", |v, p| p.integer(v, 0, u64::from(limits::SCALE_MAX)));
    Some(FromSource {
        source: source?,
        pointer: pointer?,
        max_age_s: u32::try_from(max_age_s?).ok()?,
        scale: scale?.and_then(|scale| u8::try_from(scale).ok()),
    })
}

fn backing(value: &Value, place: &Place<'_>, kind: &str, known: Known<'_>) -> Option<BackedBy> {
    if !matches!(kind, "MINT" | "BURN" | "TRANSFER") {
        return place.fault(FaultCode::Invalid, format!("no ledger event can back a {kind}"));
    }
    let fields = place.object(value, &["source", "event"])?;
    let source = fields.required("source", |v, p| listed_source(v, p, known));
    let event = fields.required("event", |value, place| match value {
        Value::String(text) => EventRef::try_from(text.clone())
            .map_or_else(|error| place.fault(FaultCode::Invalid, error.to_string()), Some),
        _ => place.fault(FaultCode::Invalid, "expected a string"),
    });
    Some(BackedBy { source: source?, event: event? })
}

fn listed_source(value: &Value, place: &Place<'_>, known: Known<'_>) -> Option<Name> {
    let source = place.text::<Name>(value)?;
    if known.named.is_none_or(|named| named.contains(&source)) {
        Some(source)
    } else {
        place.fault(FaultCode::Invalid, "is not among the request's event_sources and external_apis")
    }
}

pub(super) fn document(value: &Value, place: &Place<'_>) -> Option<Document> {
    let fields = place.object(value, &["sha256", "uri", "media_type", "bytes"])?;
    let sha256 = fields.required("sha256", |v, p| p.text::<Digest>(v));
    let uri = fields.required("uri", |v, p| short_text(v, p, 1024));
    let media_type = fields.required("media_type", |v, p| short_text(v, p, 128));
    let bytes = fields.required("bytes", |v, p| p.integer(v, 0, u64::MAX));
    Some(Document { sha256: sha256?, uri: uri?, media_type: media_type?, bytes: bytes? })
}

pub(super) fn short_text(value: &Value, place: &Place<'_>, bytes_max: usize) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text.len() <= bytes_max => Some(text.clone()),
        _ => place.fault(FaultCode::Invalid, format!("expected a string of 1 to {bytes_max} bytes")),
    }
}

fn map_of<T>(
    fields: &Fields<'_>,
    key: &str,
    len_max: usize,
    is_key: fn(&str) -> bool,
    read: impl Fn(&Value, &Place<'_>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let read_map = fields.optional(key, |value, place| {
        let Value::Object(map) = value else {
            return place.fault(FaultCode::Invalid, "expected an object");
        };
        if map.len() > len_max {
            return place
                .fault(FaultCode::TooMany, format!("at most {len_max} entries, found {}", map.len()));
        }
        let entries: Vec<Option<(String, T)>> = map
            .iter()
            .map(|(key, value)| {
                let place = place.key(key);
                if is_key(key) {
                    read(value, &place).map(|value| (key.clone(), value))
                } else {
                    place.fault(FaultCode::Invalid, "key must be [a-z0-9_.]{1,64}")
                }
            })
            .collect();
        entries.into_iter().collect::<Option<BTreeMap<_, _>>>()
    })?;
    Some(read_map.unwrap_or_default())
}

fn is_term_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.')
}

fn is_json_pointer(text: &str) -> bool {
    text.len() <= 256
        && (text.is_empty() || text.starts_with('/'))
        && text.split('~').skip(1).all(|rest| rest.starts_with('0') || rest.starts_with('1'))
}
