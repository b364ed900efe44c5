//! What the API descriptions of all services share. Each service describes its own routes; the collector serves all
//! of them as one document, since they have one origin (DESIGN §11).

use std::collections::BTreeMap;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify};

/// Adds the security scheme `api_key`.
#[derive(Debug)]
pub struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, openapi: &mut OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("oss_<id>_<secret>".to_owned());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The problems that every route behind a key may answer with.
#[derive(Debug)]
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("400", "The path or a query parameter is not valid"),
            ("401", "No valid API key"),
            ("403", "The key lacks the scope"),
            ("404", "There is no such thing, or not for this tenant"),
            ("503", "This process cannot answer now; try again after Retry-After"),
        ]
        .into_iter()
        .map(|(status, description)| {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response =
                ResponseBuilder::new().description(description).content("application/problem+json", problem);
            (status.to_owned(), RefOr::T(response.build()))
        })
        .collect()
    }
}
