use super::{amount, find, text};

#[test]
fn a_pointer_finds_the_text_as_the_source_wrote_it() {
    let json = r#" {"a": {"b/c": [1, 0.10 , "x"], "~": {"": 1e400}}, "n": 123456789012345678901234567890, "d": 1, "d": 2} "#;
    let cases = [
        ("/a/b~1c/1", Some("0.10")),
        ("/a/b~1c/2", Some("\"x\"")),
        ("/a/~0/", Some("1e400")),
        ("/n", Some("123456789012345678901234567890")),
        ("/d", Some("2")),
        ("/a/b~1c", Some(r#"[1, 0.10 , "x"]"#)),
        ("/a/b~1c/3", None),
        ("/a/b~1c/01", None),
        ("/a/b~1c/-", None),
        ("/a/b~1c/0/0", None),
        ("/z", None),
        ("a", None),
    ];
    for (pointer, expected) in cases {
        assert_eq!(find(json, pointer), expected, "{pointer}");
    }
    assert_eq!(find("7", ""), Some("7"));
}

#[test]
fn strings_and_numbers_are_text_and_nothing_else_is() {
    assert_eq!(text(r#""1\u0032""#).as_deref(), Some("12"));
    assert_eq!(text("-1.50").as_deref(), Some("-1.50"));
    for json in ["null", "true", "[1]", "{}"] {
        assert_eq!(text(json), None, "{json}");
    }
}

#[test]
fn an_amount_is_a_whole_number_after_scaling() {
    let max = u128::MAX.to_string();
    let cases: [(&str, u8, Option<u128>); 29] = [
        ("1", 0, Some(1)),
        ("1", 38, Some(10_u128.pow(38))),
        ("12.50", 1, Some(125)),
        ("12.50", 2, Some(1250)),
        ("12.50", 0, None),
        ("12.00", 0, Some(12)),
        ("1e3", 0, Some(1000)),
        ("1E+3", 0, Some(1000)),
        ("1500e-2", 0, Some(15)),
        ("1501e-2", 0, None),
        ("1501e-2", 2, Some(1501)),
        ("0.001", 3, Some(1)),
        (&max, 0, Some(u128::MAX)),
        ("340282366920938463463374607431768211456", 0, None),
        ("4", 38, None),
        ("1e38", 0, Some(10_u128.pow(38))),
        ("1e39", 0, None),
        ("1e99999", 0, None),
        ("0", 0, None),
        ("0.0", 5, None),
        ("-1", 0, None),
        ("+1", 0, None),
        ("01", 0, None),
        ("1.", 0, None),
        (".5", 1, None),
        ("1e", 0, None),
        (" 1", 0, None),
        ("0x10", 0, None),
        ("", 0, None),
    ];
    for (text, scale, expected) in cases {
        assert_eq!(amount(text, scale).map(common::amount::Amount::units), expected, "{text} scale {scale}");
    }
}
