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
