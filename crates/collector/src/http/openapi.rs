//! `/openapi.json` and `/docs`: the description of the whole origin, and a page that shows it without anything from
//! outside. The collector's routes come from its handlers' own annotations; those of the other services from
//! the files their tests keep equal to theirs, as services share no code but `common`.

use std::collections::BTreeMap;

use common::openapi::ApiKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::{batch, cancel, events, get, list, stream, submit};

/// The routes of the services behind the same address.
const OTHERS: [&str; 2] = [
    include_str!("../../../../docs/generated/validator.openapi.json"),
    include_str!("../../../../docs/generated/broadcaster.openapi.json"),
];

/// The description of this service's API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Oracle State Synchronizer", license(name = "Apache-2.0 OR MIT")),
    paths(
        submit::submit,
        batch::submit_batch,
        list::list,
        get::get,
        cancel::cancel,
        events::events,
        stream::stream,
    ),
    components(schemas(
        SyncRequestBody,
        StateChangeBody,
        AuthorityBody,
        batch::BatchSummary,
        cancel::Conflict,
        common::problem::Problem,
    )),
    modifiers(&ApiKey)
)]
struct Description;

/// Serves both addresses.
pub(super) fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").external_url_unchecked("/openapi.json", description())
}

/// The description as served. What is no description is passed over; a test sees that none is.
fn description() -> Value {
    let own = serde_json::to_value(Description::openapi()).unwrap_or_default();
    OTHERS.iter().filter_map(|text| serde_json::from_str(text).ok()).fold(own, merged)
}

/// Adds the paths and components of another description that are not there yet.
fn merged(mut into: Value, mut from: Value) -> Value {
    for part in ["/paths", "/components/schemas", "/components/securitySchemes"] {
        let (Some(Value::Object(into)), Some(Value::Object(from))) =
            (into.pointer_mut(part), from.pointer_mut(part))
        else {
            continue;
        };
        for (name, value) in std::mem::take(from) {
            into.entry(name).or_insert(value);
        }
    }
    into
}

/// A sync request: applied whole or not at all. Sources and chains are names the operator has configured.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = SyncRequest, example = json!({
    "asset": {"id": "bond:US91282CLW90"},
    "state_changes": [{"kind": "TRANSFER", "from": "acct:alice", "to": "acct:bob", "amount": "1000000"}]
}))]
pub(super) struct SyncRequestBody {
    asset: AssetBody,
    /// 1 to 32 changes, applied in this order.
    #[schema(min_items = 1, max_items = 32)]
    state_changes: Vec<StateChangeBody>,
    /// Sources whose events are collected: a name, or `{"source": name, "required": false}`; at most 8.
    #[serde(default)]
    #[schema(max_items = 8, value_type = Vec<Object>)]
    event_sources: Vec<Value>,
    /// Sources of external data, in the same form; at most 8.
    #[serde(default)]
    #[schema(max_items = 8, value_type = Vec<Object>)]
    external_apis: Vec<Value>,
    /// What `completed` waits for; left out: all of the asset's chains.
    target_chains: Option<Vec<String>>,
    /// The asset's version before this request.
    expected_version: Option<u64>,
    /// Request ids of the same shard that must be applied first; at most 16.
    #[serde(default)]
    #[schema(max_items = 16)]
    depends_on: Vec<String>,
    /// When it takes effect at the earliest: RFC 3339, within `ttl_seconds`. It waits until then.
    effective_at: Option<String>,
    /// Seconds until it must be decided (300).
    ttl_seconds: Option<u32>,
    /// Of regulatory changes, and of no others: who orders them.
    authority: Option<AuthorityBody>,
}

/// The authority behind regulatory changes. The API key needs the scope `regulate` and must act for it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Authority)]
pub(super) struct AuthorityBody {
    /// Its name in the key file.
    id: String,
    /// Reference of the order, 1 to 256 bytes.
    order: String,
    /// The order itself: `{"sha256", "uri", "media_type", "bytes"}`.
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
}

/// The asset a request is about.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Asset)]
pub(super) struct AssetBody {
    /// `<class>:<name>`; the class decides the shard.
    id: String,
}

/// One change; `kind` is REGISTER, ADD_CHAIN, MINT, BURN, TRANSFER, SET_DATA, LOCK, UNLOCK, RECORD_SNAPSHOT, INTEREST_PAYMENT,
/// PRINCIPAL_REPAYMENT or CLAIM, or of an authority FREEZE, UNFREEZE, SEIZE, RELEASE, CONFISCATE, RESTRICT, UNRESTRICT,
/// LIQUIDATE or RECOVER; the other fields are the kind's own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = StateChange)]
pub(super) struct StateChangeBody {
    kind: String,
    /// The ledger event this change repeats: `{"source": name, "event": "<tx hash>/<position>"}`.
    #[schema(value_type = Option<Object>)]
    backed_by: Option<Value>,
    /// The fields of the kind.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Object>)]
    fields: BTreeMap<String, Value>,
}
