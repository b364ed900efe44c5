//! `oss rate-source`: serves the demo's reference rate as JSON, with the date it was published for.
//!
//! `GET /rate.json` → `{"name", "publisher", "tenor", "rate", "as_of", "unit"}`; `rate` is a JSON number with the
//! published digits. It is a recorded figure of one day, not a feed: its `as_of` says so, and a request that
//! takes the value names the age it accepts.

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;

use crate::args::RateSourceArgs;
use crate::demo::facts::RATE;
use crate::exit::Exit;
use crate::ui::Ui;

/// Path of the document.
pub(crate) const PATH: &str = "/rate.json";
/// Where the value and its time stand in the document.
pub(crate) const VALUE_POINTER: &str = "/rate";
pub(crate) const AS_OF_POINTER: &str = "/as_of";

pub(crate) async fn serve(args: &RateSourceArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let listen = args.listen;
    // The web server brings its own runtime; a thread keeps it apart from this one's.
    let served = tokio::task::spawn_blocking(move || actix_web::rt::System::new().block_on(server(listen)));
    ui.progress(format!("the reference rate is at http://{listen}{PATH}"));
    served.await.context("the server's thread ended")??;
    Ok(Exit::Done)
}

async fn server(listen: std::net::SocketAddr) -> anyhow::Result<()> {
    let document = web::Data::new(document());
    let app = move || App::new().app_data(document.clone()).route(PATH, web::get().to(answer));
    let server =
        HttpServer::new(app).workers(1).bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    server.run().await.context("the server ended")
}

async fn answer(document: web::Data<String>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.as_str().to_owned())
}

/// The JSON text. Written by hand so that the number keeps its published digits.
fn document() -> String {
    format!(
        concat!(
            r#"{{"name":"{}","publisher":"{}","tenor":"{}","rate":{},"#,
            r#""as_of":"{}T00:00:00Z","unit":"per cent a year"}}"#
        ),
        RATE.name, RATE.publisher, RATE.tenor, RATE.value, RATE.date
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_document_holds_the_rate_and_its_time_where_the_pointers_say() {
        let text = document();
        let value: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value.pointer(VALUE_POINTER), Some(&json!(4.63)));
        assert_eq!(value.pointer(AS_OF_POINTER), Some(&json!("2026-08-05T00:00:00Z")));
        assert!(text.contains(r#""rate":4.63,"#), "the number keeps its digits");
    }
}
