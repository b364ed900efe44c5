//! The description of this service's routes, as `docs/generated/broadcaster.openapi.json`: the collector serves it
//! merged with its own.

#![cfg(test)]

use common::openapi::ApiKey;
use utoipa::OpenApi;

use super::{deliveries, dlq, targets};

#[derive(OpenApi)]
#[openapi(
    info(title = "Oracle State Synchronizer: broadcaster", license(name = "Apache-2.0 OR MIT")),
    paths(targets::list, targets::pause, targets::resume, deliveries::get, dlq::list),
    components(schemas(common::problem::Problem)),
    modifiers(&ApiKey)
)]
struct Description;

#[test]
fn the_committed_description_is_the_one_the_handlers_give() {
    let json = Description::openapi().to_pretty_json().expect("it is plain data");
    testkit::generated::check("broadcaster.openapi.json", &format!("{json}\n"));
}
