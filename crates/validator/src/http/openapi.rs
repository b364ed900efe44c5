//! The description of this service's routes, as `docs/generated/validator.openapi.json`: the collector serves it merged
//! with its own.

#![cfg(test)]

use common::openapi::ApiKey;
use utoipa::OpenApi;

use super::{checkpoints, decisions, explain, locks, log, pipeline, proofs, rewind, rollback, shards, state};

#[derive(OpenApi)]
#[openapi(
    info(title = "Oracle State Synchronizer: validator", license(name = "Apache-2.0 OR MIT")),
    paths(
        state::asset,
        proofs::asset,
        state::holding,
        proofs::holding,
        shards::list,
        shards::one,
        log::page,
        locks::list,
        locks::events,
        checkpoints::list,
        checkpoints::write,
        checkpoints::part,
        decisions::one,
        explain::one,
        pipeline::all,
        rewind::rewind,
        rollback::rollback
    ),
    components(schemas(common::problem::Problem)),
    modifiers(&ApiKey)
)]
struct Description;

#[test]
fn the_committed_description_is_the_one_the_handlers_give() {
    let json = Description::openapi().to_pretty_json().expect("it is plain data");
    testkit::generated::check("validator.openapi.json", &format!("{json}\n"));
}
