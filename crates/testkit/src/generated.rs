//! Files of `docs/generated` that are made from code, so that no text of theirs is out of date.
//!
//! A test makes the content and compares. With `OSS_GENERATE=1` it writes the file instead.

use std::path::Path;

/// # Panics
/// The file differs from `content`, or cannot be read or written.
pub fn check(file: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated").join(file);
    if std::env::var_os("OSS_GENERATE").is_some() {
        std::fs::write(&path, content).expect("the file is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == content,
        "docs/generated/{file} is not what the code says: run this test with OSS_GENERATE=1"
    );
}

/// The operations of a committed OpenAPI description; see [`operations_of`].
///
/// # Panics
/// The file is no such description.
#[must_use]
pub fn operations(file: &str, fill: &[(&str, &str)]) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated").join(file);
    let text = std::fs::read(path).expect("the file is read");
    operations_of(&serde_json::from_slice(&text).expect("it is JSON"), fill)
}

/// The operations of an OpenAPI description: method in capitals and path, each `{parameter}` replaced by the value that
/// `fill` names for it.
///
/// # Panics
/// It is no such description, or a parameter has no value.
#[must_use]
pub fn operations_of(description: &serde_json::Value, fill: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        let filled = |path: String, (name, value): &(&str, &str)| path.replace(&format!("{{{name}}}"), value);
        let path = fill.iter().fold(path.clone(), filled);
        assert!(!path.contains('{'), "a parameter of {path} has no value");
        found.extend(methods.as_object().expect("methods").keys().map(|m| (m.to_uppercase(), path.clone())));
    }
    found
}
