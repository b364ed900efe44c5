use common::bridge::{Domain, Header, Update, updates_hash};
use k256::ecdsa::{RecoveryId, Signature as Ecdsa, VerifyingKey};
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../../../contracts/test/vectors/headers.json");

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| text(value, field).parse().expect("a number"))
}

fn secret(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

fn updates(case: &Value) -> Vec<Update> {
    let update = |update: &Value| Update {
        asset: text(update, "asset").parse().expect("digest"),
        from: number(update, "from"),
        version: number(update, "version"),
        state_hash: text(update, "stateHash").parse().expect("digest"),
    };
    case["updates"].as_array().expect("updates").iter().map(update).collect()
}

fn header(case: &Value) -> Header {
    let header = &case["header"];
    Header {
        shard: u32::try_from(number(header, "shard")).expect("u32"),
        seq: number(header, "seq"),
        part: u16::try_from(number(header, "part")).expect("u16"),
        parts: u16::try_from(number(header, "parts")).expect("u16"),
        set_id: number(header, "setId"),
        updates_hash: updates_hash(&updates(case)),
        state_root: text(header, "stateRoot").parse().expect("digest"),
    }
}

#[test]
fn signatures_equal_the_contracts_vectors_byte_for_byte() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let signer = Signer::from_secret(&secret(text(&vectors, "privateKey"))).expect("a secret");
    assert_eq!(signer.address(), text(&vectors, "signer").parse().expect("address"));
    let domain =
        Domain::new(number(&vectors, "chainId"), text(&vectors, "contract").parse().expect("address"));
    let cases = vectors["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        let header = header(case);
        assert_eq!(header.updates_hash.to_string(), text(&case["header"], "updatesHash"));
        let digest = domain.digest(&header);
        assert_eq!(digest.to_string(), text(case, "digest"));
        let signature = signer.sign(&digest).expect("signs");
        assert_eq!(hex::encode_prefixed(signature.0), text(case, "signature"), "{}", case["name"]);
    }
}

#[test]
fn every_signature_has_a_low_s_and_recovers_to_the_signers_address() {
    let signer = Signer::from_secret(&[7; 32]).expect("a secret");
    for n in 0_u8..64 {
        let digest = Digest::of(&[&[n]]);
        let Signature(bytes) = signer.sign(&digest).expect("signs");
        let signature = Ecdsa::from_slice(&bytes[..64]).expect("r and s");
        assert!(signature.normalize_s().is_none(), "s is in the upper half");
        let recovery = RecoveryId::from_byte(bytes[64] - 27).expect("v is 27 or 28");
        let key = VerifyingKey::recover_from_prehash(&digest.0, &signature, recovery).expect("recovers");
        let point = key.to_encoded_point(false);
        let address = Address::of_public_key(point.as_bytes()[1..].try_into().expect("64 bytes"));
        assert_eq!(address, signer.address());
    }
}

#[test]
fn a_file_that_holds_no_secret_is_refused_and_the_secret_is_never_shown() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key");
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    for text in ["", "0x", "11", &"0x11".repeat(32), &format!("0x{}", "0".repeat(64)), order] {
        std::fs::write(&path, text).expect("writes");
        assert!(matches!(Signer::load(&path), Err(SignerError::Form { .. })), "{text:?}");
    }
    std::fs::write(&path, format!("0x{}\n", "11".repeat(32))).expect("writes");
    let signer = Signer::load(&path).expect("a secret with a line end");
    assert!(!format!("{signer:?}").contains("1111"));
}
