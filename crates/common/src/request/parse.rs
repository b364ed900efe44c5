//! The request's own fields. State changes are read by [`super::changes`].

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{Fault, FaultCode, Place};
use super::{AssetRef, Authority, Moment, SourceRef, StateChange, SyncRequest, changes, limits};
use crate::ids::{AssetId, Name, Rid};

const FIELDS: [&str; 12] = [
    "asset",
    "state_changes",
    "event_sources",
    "external_apis",
    "target_chains",
    "atomicity",
    "expected_version",
    "depends_on",
    "effective_at",
    "ttl_seconds",
    "authority",
    "proof",
];

pub(super) fn request(value: &Value) -> Result<SyncRequest, Vec<Fault>> {
    let faults = RefCell::new(Vec::new());
    let request = read(value, &Place::root(&faults));
    let faults = faults.into_inner();
    match request {
        Some(request) if faults.is_empty() => Ok(request),
        _ => Err(faults),
    }
}

fn read(value: &Value, root: &Place<'_>) -> Option<SyncRequest> {
    let fields = root.object(value, &FIELDS)?;
    let asset = fields.required("asset", |value, place| {
        place.object(value, &["id"])?.required("id", |value, place| place.text::<AssetId>(value))
    });
    let event_sources = fields.optional("event_sources", |v, p| sources(v, p, limits::EVENT_SOURCES_MAX));
    let external_apis = fields.optional("external_apis", |v, p| sources(v, p, limits::EXTERNAL_APIS_MAX));
    let target_chains = fields.optional("target_chains", |value, place| {
        let names = place.array(value, limits::TARGET_CHAINS_MAX, |v, p| p.text::<Name>(v))?;
        if names.is_empty() {
            return place.fault(FaultCode::Invalid, "name at least one chain, or leave the field out");
        }
        distinct(names, place)
    });
    let expected_version = fields.optional("expected_version", |v, p| p.integer(v, 0, u64::MAX));
    let ttl_seconds =
        fields.optional("ttl_seconds", |v, p| p.integer(v, 1, u64::from(limits::TTL_SECONDS_MAX)));
    fields.only("atomicity", "BEST_EFFORT");
    fields.only("proof", "none");
    let effective_at = fields.optional("effective_at", |value, place| place.text::<Moment>(value));
    let authority = fields.optional("authority", authority);
    let depends_on = fields.optional("depends_on", |value, place| {
        let rids = place.array(value, limits::DEPENDS_ON_MAX, |value, place| {
            let rid = place.text::<Rid>(value)?;
            if asset.as_ref().is_none_or(|asset| rid.shard() == asset.shard()) {
                Some(rid)
            } else {
                place.fault(FaultCode::CrossShard, format!("belongs to shard {}", rid.shard()))
            }
        })?;
        distinct(rids, place)
    });
    let lists = [("event_sources", &event_sources), ("external_apis", &external_apis)];
    let named = named_once(root, lists.map(|(field, list)| (field, list.as_ref())));
    let known = changes::Known { asset: asset.as_ref(), named: named.as_ref() };
    let state_changes = fields.required("state_changes", |value, place| changes::read(value, place, known));
    let (state_changes, authority) = (state_changes?, authority?);
    check_authority(&state_changes, authority.as_ref(), named.as_ref(), root);
    Some(SyncRequest {
        asset: AssetRef { id: asset? },
        state_changes,
        event_sources: event_sources?.unwrap_or_default(),
        external_apis: external_apis?.unwrap_or_default(),
        target_chains: target_chains?,
        expected_version: expected_version?,
        depends_on: depends_on?.unwrap_or_default(),
        effective_at: effective_at?,
        ttl_seconds: ttl_seconds?
            .and_then(|ttl| u32::try_from(ttl).ok())
            .unwrap_or(limits::TTL_SECONDS_DEFAULT),
        authority,
    })
}

fn authority(value: &Value, place: &Place<'_>) -> Option<Authority> {
    let fields = place.object(value, &["id", "order", "document"])?;
    let id = fields.required("id", |v, p| p.text::<Name>(v));
    let order = fields.required("order", |v, p| changes::short_text(v, p, limits::ORDER_BYTES_MAX));
    let document = fields.optional("document", changes::document);
    Some(Authority { id: id?, order: order?, document: document? })
}

/// Regulatory changes make a request of their own, which names its authority; no other request has one.
fn check_authority(
    state_changes: &[StateChange],
    authority: Option<&Authority>,
    sources: Option<&BTreeSet<Name>>,
    root: &Place<'_>,
) {
    let regulatory = state_changes.iter().filter(|change| change.op.is_regulatory()).count();
    let place = root.key("authority");
    match (regulatory, authority) {
        (0, None) => return,
        (0, Some(_)) => place.fault::<()>(FaultCode::Invalid, "no change of the request is regulatory"),
        (_, None) => place.fault(FaultCode::Missing, "is required for a regulatory change"),
        (_, Some(_)) => None,
    };
    if regulatory > 0 && regulatory < state_changes.len() {
        let detail = "regulatory changes make a request of their own";
        root.key("state_changes").fault::<()>(FaultCode::Invalid, detail);
    }
    if regulatory > 0 && sources.is_some_and(|sources| !sources.is_empty()) {
        let detail = "sources of a regulatory request are not supported yet";
        root.key("event_sources").fault::<()>(FaultCode::NotSupported, detail);
    }
}

/// The sources of all lists; a fault for each that is named before. `None`: a list cannot be read.
fn named_once<'a>(
    root: &Place<'_>,
    lists: impl IntoIterator<Item = (&'a str, Option<&'a Option<Vec<SourceRef>>>)>,
) -> Option<BTreeSet<Name>> {
    let (mut named, mut is_whole) = (BTreeSet::new(), true);
    for (field, list) in lists {
        is_whole &= list.is_some();
        for (index, reference) in list.into_iter().flatten().flatten().enumerate() {
            if !named.insert(reference.source.clone()) {
                root.key(field).index(index).fault::<()>(FaultCode::Invalid, "is named twice");
            }
        }
    }
    is_whole.then_some(named)
}

fn sources(value: &Value, place: &Place<'_>, len_max: usize) -> Option<Vec<SourceRef>> {
    place.array(value, len_max, |value, place| match value {
        Value::Object(_) => {
            let fields = place.object(value, &["source", "required"])?;
            let source = fields.required("source", |v, p| p.text::<Name>(v));
            let required = fields.optional("required", |value, place| match value {
                Value::Bool(required) => Some(*required),
                _ => place.fault(FaultCode::Invalid, "expected true or false"),
            });
            Some(SourceRef { source: source?, required: required?.unwrap_or(true) })
        }
        _ => place.text::<Name>(value).map(|source| SourceRef { source, required: true }),
    })
}

fn distinct<T: Ord + Clone>(values: Vec<T>, place: &Place<'_>) -> Option<Vec<T>> {
    let set: BTreeSet<T> = values.iter().cloned().collect();
    if set.len() == values.len() {
        Some(values)
    } else {
        place.fault(FaultCode::Invalid, "names one thing twice")
    }
}
