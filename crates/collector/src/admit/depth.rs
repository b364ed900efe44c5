//! How deep a JSON text is nested, before anything parses it.

use serde_json::Value;

/// Whether objects and arrays are nested at most `depth_max` deep. Looks at brackets outside strings only;
/// whether the text is JSON at all is not its question.
pub(super) fn is_within(text: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > depth_max {
                    return false;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// JSON pointer to the first value that lies too deep; empty if the text is not JSON or far too deep.
pub(super) fn first_too_deep(text: &[u8], depth_max: usize) -> String {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    let mut pointer = String::new();
    if find(&value, depth_max, &mut pointer) { pointer } else { String::new() }
}

/// Appends the steps to the first container below `levels_left` levels.
fn find(value: &Value, levels_left: usize, pointer: &mut String) -> bool {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(_) | Value::Object(_) if levels_left == 0 => return true,
        Value::Array(elements) => elements.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect()
        }
        _ => return false,
    };
    let len = pointer.len();
    children.into_iter().any(|(token, child)| {
        pointer.truncate(len);
        pointer.push('/');
        pointer.push_str(&token);
        find(child, levels_left - 1, pointer)
    })
}

#[cfg(test)]
mod tests {
    use super::{first_too_deep, is_within};

    #[test]
    fn only_brackets_outside_strings_count() {
        assert!(is_within(br#"{"a": [[]]}"#, 3));
        assert!(!is_within(br#"{"a": [[]]}"#, 2));
        assert!(is_within(br#"{"a": "[[[[\"[[[["}"#, 1));
        assert!(is_within(br"[[], [], {}]", 2));
        assert!(is_within(b"]]]]", 1));
    }

    #[test]
    fn the_first_value_that_lies_too_deep_is_named() {
        assert_eq!(first_too_deep(br#"{"x": 1, "a/b": [0, {"c": []}]}"#, 3), "/a~1b/1/c");
        assert_eq!(first_too_deep(b"[[", 1), "");
    }
}
