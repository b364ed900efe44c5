use super::*;

fn body() -> Body {
    Body {
        shard: Shard::Financial,
        seq: 1,
        epoch: 1,
        node: "validator-0".into(),
        kind: EntryKind::Batch,
        time_ms: 1_700_000_000_000,
        ruleset: 0,
        inputs: vec![Input::new(InputStream::In, "1-0".into(), br#"{"v":1}"#)],
        outcomes: vec![],
        updates: vec![],
        root: Digest::ZERO,
        aux: Digest::ZERO,
    }
}

#[test]
fn an_entry_s_bytes_and_digest_are_fixed() {
    let entry = Entry::seal(Digest::ZERO, &body());
    let text = std::str::from_utf8(&entry.body).unwrap();
    let zero = format!("0x{}", "00".repeat(32));
    assert_eq!(
        text,
        format!(
            r#"{{"shard":"financial","seq":1,"epoch":1,"node":"validator-0","kind":"BATCH","time_ms":1700000000000,"ruleset":0,"inputs":[{{"s":"in","id":"1-0","m":{{"v":1}}}}],"outcomes":[],"updates":[],"root":"{zero}","aux":"{zero}"}}"#
        )
    );
    // Independently: sha256 of "oss/log/1", 32 zero bytes and the text above.
    assert_eq!(entry.digest.to_string(), GOLDEN_DIGEST);
    assert!(entry.is_intact());
    let tampered = Entry { body: text.replace("validator-0", "validator-1").into_bytes(), ..entry };
    assert!(!tampered.is_intact());
}

const GOLDEN_DIGEST: &str = "0x44d7244618f37fcd642f528ba9c1333babfe3c24930e35e4701b681a20bf745f";

#[test]
fn an_input_keeps_its_exact_bytes() {
    for bytes in [
        &br#"{"v":1,  "a":1.10}"#[..],
        b"not json",
        b"\xff\x00",
        b"",
        b" {\"v\":1}",
        b"{\"v\":1}\n",
        br#"{"b64":"AAAA"}"#,
        br#"{"b64":"not base64!"}"#,
    ] {
        let input = Input::new(InputStream::In, "1-0".into(), bytes);
        let json = serde_json::to_vec(&input).unwrap();
        let again: Input = serde_json::from_slice(&json).unwrap();
        assert_eq!(again.bytes(), bytes, "{}", String::from_utf8_lossy(&json));
    }
}
