//! Source `evm_logs` against a real node: a token's own Transfer events, confirmations, evidence.

use common::observation::{LedgerEvent, LedgerEventKind, ObservationKind};
use serde_json::{Value, json};

use crate::bed::{Bed, failure, observations, with};
use crate::chain::{ALICE, BOB, Chain, backed};

#[actix_rt::test]
async fn a_real_transfer_event_backs_a_change_once_it_is_deep_enough() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(3));
    let collector = bed.start().await;
    let event = chain.mint(ALICE, "2a").await;
    assert_eq!(bed.post(&collector, &backed(&event), &[]).await.status, 202);
    // One confirmation so far: the collector waits; the chain goes on under it.
    chain.mine(1).await;
    assert!(bed.messages(common::link::Stream::Input).await.is_empty());
    chain.mine(1).await;
    let (_, message) = bed.input(1).await.remove(0);
    let [observation] = observations(&message) else { panic!("{message:?}") };
    assert_eq!(observation.kind, ObservationKind::Event);
    assert_eq!(observation.identity.as_deref(), Some(format!("eip155:1/{event}").as_str()));
    let seen: LedgerEvent = serde_json::from_str(observation.value.get()).unwrap();
    assert_eq!((seen.event, seen.from, seen.amount.units()), (LedgerEventKind::Mint, None, 42));
    assert_eq!((seen.to.unwrap().as_str(), seen.asset.as_str()), ("acct:alice", "bond:X"));
    let block = chain.call("eth_getBlockByNumber", json!(["0x2", false])).await;
    let seconds = u64::from_str_radix(&block["timestamp"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(observation.as_of_ms, seconds * 1_000);
    collector.stop().await;
}

#[actix_rt::test]
async fn events_that_do_not_back_a_change_fail_with_their_place() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(1_000));
    let mut settings = bed.settings("collector-1");
    settings.collect.deadline_ms = 1_000;
    let collector = bed.start_with(settings).await;
    let shallow = chain.mint(ALICE, "2a").await;
    let unknown = format!("0x{}/0", "ab".repeat(32));
    for (event, code) in [(shallow, "EVENT_NOT_CONFIRMED"), (unknown, "EVENT_NOT_FOUND")] {
        let before = bed.messages(common::link::Stream::Input).await.len();
        bed.post(&collector, &backed(&event), &[]).await;
        let (_, message) = bed.input(before + 1).await.pop().unwrap();
        let failure = failure(&message);
        assert_eq!(failure.code, code, "{failure:?}");
        assert_eq!(failure.pointer.as_deref(), Some("/state_changes/1/backed_by/event"));
    }
    chain.mine(1_000).await;
    let deep = chain.mint(BOB, "1").await;
    chain.mine(1_000).await;
    let position = deep.replace("/0", "/1");
    let before = bed.messages(common::link::Stream::Input).await.len();
    bed.post(&collector, &backed(&position), &[]).await;
    let (_, message) = bed.input(before + 1).await.pop().unwrap();
    assert_eq!(failure(&message).code, "EVENT_MISMATCH");
    collector.stop().await;
}

#[actix_rt::test]
async fn a_source_without_an_event_gives_its_window_as_evidence() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(2));
    let collector = bed.start().await;
    chain.mint(ALICE, "2a").await;
    chain.mint(BOB, "1").await;
    bed.post(&collector, &with("X", &json!({"event_sources": ["chain"]})), &[]).await;
    let (_, message) = bed.input(1).await.remove(0);
    let [observation] = observations(&message) else { panic!("{message:?}") };
    assert_eq!((observation.kind, observation.identity.as_deref()), (ObservationKind::Logs, None));
    let value: Value = serde_json::from_str(observation.value.get()).unwrap();
    let logs = value["logs"].as_array().unwrap();
    assert_eq!(logs.len(), 1, "the newest block is not confirmed yet: {value}");
    assert_eq!(logs[0]["address"], chain.token);
    assert_eq!((value["to_block"].clone(), value["truncated"].clone()), (json!(2), json!(false)));
    collector.stop().await;
}
