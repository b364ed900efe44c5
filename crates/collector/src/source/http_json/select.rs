//! A part of a JSON document by pointer, as the document's own text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

const TOKENS_MAX: usize = 16;

/// Checks a pointer of the settings (RFC 6901).
///
/// # Errors
/// What is wrong, as a sentence part.
pub(super) fn check(pointer: &str) -> Result<(), String> {
    if !(pointer.is_empty() || pointer.starts_with('/')) {
        return Err(format!("pointer {pointer:?}: expected / first, or nothing"));
    }
    if pointer.split('/').count() > TOKENS_MAX + 1 {
        return Err(format!("pointer {pointer:?}: at most {TOKENS_MAX} steps"));
    }
    if pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])) {
        Ok(())
    } else {
        Err(format!("pointer {pointer:?}: ~ must be followed by 0 or 1"))
    }
}

/// The value at `pointer`, in the document's own spelling.
pub(super) fn select<'a>(document: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut value = document;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = match value.get().as_bytes().first()? {
            b'{' => {
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
                fields.get(&token).copied()?
            }
            b'[' => {
                // RFC 6901: an index has no leading zero and no sign.
                let is_index = token == "0" || (!token.starts_with(['0', '+']) && !token.is_empty());
                let elements: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                elements.get(token.parse::<usize>().ok().filter(|_| is_index)?).copied()?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// The time a value names, Unix ms: RFC 3339, a date (midnight UTC), or Unix seconds or ms.
pub(super) fn time_ms(value: &RawValue) -> Option<u64> {
    /// Numbers from here on are ms: as seconds they would lie beyond the year 5000.
    const MS_FROM: f64 = 1e11;
    let ms = if value.get().starts_with('"') {
        let text: Cow<'_, str> = serde_json::from_str(value.get()).ok()?;
        let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
            let date: jiff::civil::Date = text.parse().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
        })?;
        timestamp.as_millisecond()
    } else {
        let number: f64 = serde_json::from_str(value.get()).ok()?;
        let ms = if number < MS_FROM { number * 1000.0 } else { number };
        // Half a millisecond more, as what follows cuts off.
        let duration = jiff::SignedDuration::try_from_secs_f64((ms + 0.5) / 1000.0).ok()?;
        jiff::Timestamp::from_duration(duration).ok()?.as_millisecond()
    };
    u64::try_from(ms).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{check, select, time_ms};

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn the_selected_part_keeps_its_spelling() {
        let document = raw(r#"{"a/b": [1, {"m~n": 1.0850, "t": "x"}], "": {"": 7}}"#);
        for (pointer, part) in [
            ("/a~1b/1/m~0n", Some("1.0850")),
            ("/a~1b/0", Some("1")),
            ("//", Some("7")),
            ("/a~1b/01", None),
            ("/a~1b/-", None),
            ("/a~1b/2", None),
            ("/a~1b/0/x", None),
            ("/missing", None),
        ] {
            assert_eq!(select(&document, pointer).map(RawValue::get), part, "{pointer}");
        }
        assert_eq!(select(&document, "").map(RawValue::get), Some(document.get()));
    }

    #[test]
    fn pointers_that_are_none_are_refused() {
        assert!(check("").is_ok() && check("/a/0").is_ok() && check("/~0~1").is_ok());
        assert!(check("a").is_err() && check("/~2").is_err() && check(&"/x".repeat(17)).is_err());
    }

    #[test]
    fn a_time_is_read_from_text_or_number() {
        for (text, ms) in [
            (r#""2026-11-20T12:00:00Z""#, Some(1_795_176_000_000)),
            (r#""2026-11-20T13:00:00.5+01:00""#, Some(1_795_176_000_500)),
            (r#""2026-11-20""#, Some(1_795_132_800_000)),
            ("1795176000", Some(1_795_176_000_000)),
            ("1795176000000", Some(1_795_176_000_000)),
            ("1795176000123", Some(1_795_176_000_123)),
            ("1795176000.25", Some(1_795_176_000_250)),
            (r#""yesterday""#, None),
            ("-5", None),
            ("null", None),
            ("1e300", None),
        ] {
            assert_eq!(time_ms(&raw(text)), ms, "{text}");
        }
    }
}
