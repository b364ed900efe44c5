//! The engine's sources name nothing that would make it impure.

use std::path::{Path, PathBuf};

/// Words that stand for I/O, time, chance, binary fractions and random order.
const FORBIDDEN: [&str; 16] = [
    "redis::",
    "actix",
    "tokio",
    "SystemTime",
    "Instant",
    "std::time",
    "rand::",
    "Uuid::",
    "Rid::fresh",
    "f64",
    "f32",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net",
    "std::env",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn offences(text: &str) -> Vec<&'static str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    FORBIDDEN.into_iter().filter(|word| code.contains(word)).collect()
}

#[test]
fn the_engine_names_no_clock_no_chance_and_no_outside_world() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![root.join("engine.rs")];
    sources(&root.join("engine"), &mut found);
    let is_test =
        |path: &Path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    found.retain(|path| !is_test(path.strip_prefix(&root).expect("below")));
    assert!(found.len() > 20, "the sources were found");
    for path in found {
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(offences(&text), Vec::<&str>::new(), "{}", path.display());
    }
}

#[test]
fn the_scan_sees_what_it_looks_for() {
    assert_eq!(offences("use std::collections::HashMap;\n// tokio"), ["HashMap"]);
    assert_eq!(offences("let now = SystemTime::now();"), ["SystemTime"]);
}
