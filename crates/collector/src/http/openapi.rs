//! `/openapi.json` and `/docs`: the API's description, from the handlers' own annotations, and a page that
//! shows it without anything from outside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::{cancel, get, submit};

/// The whole description of this service's API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Oracle State Synchronizer", license(name = "Apache-2.0 OR MIT")),
    paths(submit::submit, get::get, cancel::cancel),
    components(schemas(SyncRequestBody, StateChangeBody, cancel::Conflict, common::problem::Problem)),
    modifiers(&ApiKey)
)]
struct Description;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("oss_<id>_<secret>".to_owned());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// Serves both addresses.
pub(super) fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", description())
}

/// The description as served.
pub(super) fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
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
    event_sources: Vec<serde_json::Value>,
    /// Sources of external data, in the same form; at most 8.
    #[serde(default)]
    #[schema(max_items = 8, value_type = Vec<Object>)]
    external_apis: Vec<serde_json::Value>,
    /// What `completed` waits for; left out: all of the asset's chains.
    target_chains: Option<Vec<String>>,
    /// The asset's version before this request.
    expected_version: Option<u64>,
    /// Request ids of the same shard that must be applied first; at most 16.
    #[serde(default)]
    #[schema(max_items = 16)]
    depends_on: Vec<String>,
    /// Seconds until it must be decided (300).
    ttl_seconds: Option<u32>,
}

/// The asset a request is about.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Asset)]
pub(super) struct AssetBody {
    /// `<class>:<name>`; the class decides the shard.
    id: String,
}

/// One change; `kind` is REGISTER, ADD_CHAIN, MINT, BURN, TRANSFER or SET_DATA, the other fields are the kind's own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = StateChange)]
pub(super) struct StateChangeBody {
    kind: String,
    /// The ledger event this change repeats: `{"source": name, "event": "<tx hash>/<position>"}`.
    #[schema(value_type = Option<Object>)]
    backed_by: Option<serde_json::Value>,
    /// The fields of the kind.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Object>)]
    fields: BTreeMap<String, serde_json::Value>,
}
