use actix_web::test::TestRequest;

use super::{idempotency_key, traceparent};

fn key(values: &[&str]) -> Result<Option<String>, String> {
    let request = values
        .iter()
        .fold(TestRequest::default(), |request, value| request.append_header(("Idempotency-Key", *value)));
    idempotency_key(request.to_http_request().headers())
        .map(|key| key.map(|key| key.as_str().to_owned()))
        .map_err(|problem| problem.errors[0].pointer.clone())
}

#[test]
fn a_bare_token_and_a_quoted_string_are_the_same_key() {
    assert_eq!(key(&[]), Ok(None));
    assert_eq!(key(&["a-1"]), Ok(Some("a-1".to_owned())));
    assert_eq!(key(&["\"a-1\""]), Ok(Some("a-1".to_owned())));
    assert_eq!(key(&[r#""a\"\\b""#]), Ok(Some(r#"a"\b"#.to_owned())));
}

#[test]
fn a_key_that_cannot_be_read_is_named() {
    let long = "x".repeat(256);
    for values in [
        &["\"open"][..],
        &["\"a\"b"],
        &["a\"b"],
        &[r#""\x""#],
        &["\"\""],
        &[""],
        &["a b"],
        &[&long],
        &["a", "b"],
    ] {
        assert_eq!(key(values), Err("#header/Idempotency-Key".to_owned()), "{values:?}");
    }
}

#[test]
fn only_a_well_formed_trace_context_is_taken() {
    let read = |value: &'static str| {
        let request = TestRequest::default().append_header(("traceparent", value)).to_http_request();
        traceparent(request.headers()).map(str::to_owned)
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(read(good).as_deref(), Some(good));
    assert_eq!(read("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), None);
    assert_eq!(read("x"), None);
}
