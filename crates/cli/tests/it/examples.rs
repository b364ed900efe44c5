//! The requests in `examples/`.

use common::request::SyncRequest;

#[test]
fn every_example_is_a_request_that_the_collector_would_take() {
    for name in ["bond-register.json", "bond-mint.json", "bond-transfer.json"] {
        let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(&path).expect("a file");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("json");
        let request = SyncRequest::parse(&value);
        assert!(request.is_ok(), "{name}: {request:?}");
        assert_eq!(request.expect("parsed").asset.id.as_str(), "bond:US91282CLW90", "{name}");
    }
}
