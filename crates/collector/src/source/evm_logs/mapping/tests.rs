use common::hash::Digest;
use common::observation::LedgerEventKind;
use serde_json::json;

use super::super::Settings;
use super::super::rpc::Log;
use super::Mapping;

const CONTRACT: &str = "0x00000000000000000000000000000000000000aa";
const ALICE: &str = "0x00000000000000000000000000000000000a11ce";
const BOB: &str = "0x0000000000000000000000000000000000000b0b";
const ZERO: &str = "0x0000000000000000000000000000000000000000";
/// keccak256("Transfer(address,address,uint256)"), as every ERC-20 token emits it.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

fn settings(changes: &serde_json::Value) -> Settings {
    let mut fields = json!({
        "rpc": ["http://127.0.0.1:1"],
        "chain": "eip155:1",
        "address": CONTRACT,
        "asset": "bond:X",
        "topics": ["Transfer(address,address,uint256)"],
        "mint_from_zero": true,
        "accounts": {ALICE: "acct:alice"},
    });
    for (key, value) in changes.as_object().expect("an object") {
        fields[key] = value.clone();
    }
    serde_json::from_value(fields).expect("settings")
}

fn mapping(changes: &serde_json::Value) -> Mapping {
    Mapping::new(&settings(changes)).expect("usable settings")
}

fn word(address: &str) -> String {
    format!("0x{:0>64}", &address[2..])
}

fn log(from: &str, to: &str, amount: &str) -> Log {
    serde_json::from_value(json!({
        "address": CONTRACT,
        "topics": [TRANSFER, word(from), word(to)],
        "data": format!("0x{amount:0>64}"),
    }))
    .expect("a log")
}

#[test]
fn zero_addresses_make_mints_and_burns_and_named_addresses_become_accounts() {
    let mapping = mapping(&json!({}));
    let bob = "eip155:1:0x0000000000000000000000000000000000000b0b";
    for (from, to, kind, from_account, to_account) in [
        (ALICE, BOB, LedgerEventKind::Transfer, Some("acct:alice"), Some(bob)),
        (ZERO, ALICE, LedgerEventKind::Mint, None, Some("acct:alice")),
        (BOB, ZERO, LedgerEventKind::Burn, Some(bob), None),
    ] {
        let event = mapping.event(&log(from, to, "2a")).expect("an event");
        assert_eq!(event.event, kind);
        assert_eq!(event.from.as_ref().map(common::ids::Account::as_str), from_account);
        assert_eq!(event.to.as_ref().map(common::ids::Account::as_str), to_account);
        assert_eq!((event.amount.units(), event.asset.as_str()), (42, "bond:X"));
    }
}

#[test]
fn without_the_setting_the_zero_address_is_a_party_like_any_other() {
    let event = mapping(&json!({"mint_from_zero": false})).event(&log(ZERO, BOB, "1")).expect("an event");
    assert_eq!(event.event, LedgerEventKind::Transfer);
    assert_eq!(event.from.unwrap().as_str(), format!("eip155:1:{ZERO}"));
}

#[test]
fn a_log_that_is_not_an_event_of_the_source_is_refused() {
    let mapping = mapping(&json!({}));
    let good = log(ALICE, BOB, "1");
    assert!(mapping.event(&good).is_ok());
    let of_other_contract = Log { address: ALICE.parse().unwrap(), ..good.clone() };
    let of_other_event = Log { topics: vec![Digest::ZERO, Digest::ZERO, Digest::ZERO], ..good.clone() };
    let anonymous = Log { topics: Vec::new(), ..good.clone() };
    let short = Log { data: "0x01".to_owned(), ..good.clone() };
    let large = Log { data: format!("0x{}", "ff".repeat(32)), ..good.clone() };
    let removed = Log { removed: true, ..good.clone() };
    let mut no_address = good.clone();
    no_address.topics[1] = Digest([0xff; 32]);
    let missing_topic = Log { topics: good.topics[..2].to_vec(), ..good };
    for log in [
        of_other_contract,
        of_other_event,
        anonymous,
        short,
        large,
        removed,
        no_address,
        missing_topic,
        log(ZERO, ZERO, "1"),
    ] {
        assert!(mapping.event(&log).is_err(), "{log:?}");
    }
}

#[test]
fn events_of_another_layout_are_read_by_their_words() {
    let mapping = mapping(&json!({
        "topics": [TRANSFER], "event": "mint", "mint_from_zero": false,
        "words": {"to": "data/1", "amount": "data/0"},
    }));
    let mut log = log(ALICE, BOB, "0");
    log.data = format!("0x{:0>64}{}", "7", &word(BOB)[2..]);
    let event = mapping.event(&log).expect("an event");
    assert_eq!((event.event, event.from, event.amount.units()), (LedgerEventKind::Mint, None, 7));
    assert_eq!(event.to.unwrap().as_str(), format!("eip155:1:{BOB}"));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for changes in [
        json!({"chain": "eip155:01"}),
        json!({"chain": "solana:1"}),
        json!({"topics": []}),
        json!({"topics": ["Transfer"]}),
        json!({"topics": ["Transfer(address, address)"]}),
        json!({"topics": ["0x12"]}),
        json!({"event": "mint"}),
    ] {
        assert!(Mapping::new(&settings(&changes)).is_err(), "{changes}");
    }
}
