//! Where two bodies of one entry differ: the first place, and what is there.
//!
//! In: the logged body and the replayed one. Out: the first field in the order of checking, the JSON pointer of the
//! first value in it that is not the same, and both values. Pure, and only made when a replay has failed.

use common::entry::Body;
use serde::Serialize;
use serde_json::Value;

/// One place at which the log and its replay say different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// JSON pointer into the entry's body.
    pub pointer: String,
    /// What the log says there; null = nothing.
    pub logged: Value,
    /// What the replay gives.
    pub replayed: Value,
}

/// The first difference of `field`. The wording of an error is not one.
pub(super) fn of(logged: &Body, replayed: &Body, field: &str) -> Difference {
    // Serializing plain data into memory cannot fail.
    let json = |body: &Body| serde_json::to_value(body).unwrap_or_default();
    let (logged, replayed) = (json(logged), json(replayed));
    let pointer = format!("/{field}");
    let whole = Difference {
        logged: logged.get(field).cloned().unwrap_or_default(),
        replayed: replayed.get(field).cloned().unwrap_or_default(),
        pointer,
    };
    within(&whole).unwrap_or(whole)
}

/// The first difference inside of one; `None` = there is no place further in that shows it.
fn within(outer: &Difference) -> Option<Difference> {
    let inner = |key: &str, logged: Option<&Value>, replayed: Option<&Value>| {
        let inner = Difference {
            pointer: format!("{}/{}", outer.pointer, key.replace('~', "~0").replace('/', "~1")),
            logged: logged.cloned().unwrap_or_default(),
            replayed: replayed.cloned().unwrap_or_default(),
        };
        (key != "detail" && inner.logged != inner.replayed).then_some(inner)
    };
    let found = match (&outer.logged, &outer.replayed) {
        (Value::Array(a), Value::Array(b)) => {
            (0..a.len().max(b.len())).find_map(|n| inner(&n.to_string(), a.get(n), b.get(n)))
        }
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            a.keys().chain(added).find_map(|key| inner(key, a.get(key), b.get(key)))
        }
        _ => None,
    }?;
    Some(within(&found).unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn first(logged: Value, replayed: Value) -> (String, Value, Value) {
        let whole = Difference { pointer: "/f".to_owned(), logged, replayed };
        let found = within(&whole).unwrap_or(whole);
        (found.pointer, found.logged, found.replayed)
    }

    #[test]
    fn the_innermost_first_place_is_named_with_both_values() {
        let found = first(json!([{"a": 1}, {"a": 2, "b/c": [5]}]), json!([{"a": 1}, {"a": 2, "b/c": [6]}]));
        assert_eq!(found, ("/f/1/b~1c/0".to_owned(), json!(5), json!(6)));
        assert_eq!(first(json!("x"), json!("y")), ("/f".to_owned(), json!("x"), json!("y")));
    }

    #[test]
    fn what_only_one_of_them_has_is_a_difference_too() {
        assert_eq!(first(json!([]), json!([7])), ("/f/0".to_owned(), Value::Null, json!(7)));
        assert_eq!(first(json!({}), json!({"a": 1})), ("/f/a".to_owned(), Value::Null, json!(1)));
        assert_eq!(first(json!({"a": 1}), json!({})), ("/f/a".to_owned(), json!(1), Value::Null));
    }

    #[test]
    fn the_wording_of_an_error_is_passed_over() {
        let (logged, replayed) =
            (json!([{"detail": "x", "code": "A"}]), json!([{"detail": "y", "code": "B"}]));
        assert_eq!(first(logged, replayed).0, "/f/0/code");
    }
}
