use std::time::Duration;

use actix_web::test::TestRequest;

use super::{Patience, Until};

fn patience(prefer: Option<&str>, query: &str) -> Result<(Option<u64>, Until), String> {
    let mut request = TestRequest::with_uri(&format!("/x?{query}"));
    if let Some(prefer) = prefer {
        request = request.append_header(("Prefer", prefer));
    }
    Patience::read(&request.to_http_request())
        .map(|patience| (patience.wait.map(|wait| Duration::as_secs(&wait)), patience.until))
        .map_err(|problem| problem.errors[0].pointer.clone())
}

#[test]
fn the_wait_is_capped_and_unreadable_preferences_are_passed_over() {
    for (prefer, wait) in [
        ("wait=10", Some(10)),
        ("respond-async, wait=\"10\"", Some(10)),
        ("Wait=31; x=1", Some(30)),
        ("wait=0", None),
        ("wait=soon", None),
        ("waiting=5", None),
    ] {
        assert_eq!(patience(Some(prefer), ""), Ok((wait, Until::Committed)), "{prefer}");
    }
    assert_eq!(patience(None, "until=completed"), Ok((None, Until::Completed)));
    assert_eq!(patience(None, "until=now"), Err("#query/until".to_owned()));
    assert_eq!(patience(None, "wait=5"), Err("#query/wait".to_owned()));
}
