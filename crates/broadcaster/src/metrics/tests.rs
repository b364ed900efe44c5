use std::collections::BTreeMap;
use std::time::Duration;

use common::exposition;
use common::ids::Shard;

use super::*;

/// Every function here records something; the compiler sees to it that each is called from somewhere.
fn record_all() {
    let (shard, took) = (Shard::Financial, Duration::from_millis(3));
    let target = "base".parse().expect("a name");
    let lane = LaneLabels::new(shard, &target, 256);
    lane.turned(took);
    lane.done(1);
    lane.load(1, 1);
    lane.tenure(Some(1));
    lane.balance("1000000000000000000");
    lane.root_lag(1);
    lane.alarm(&Change::Began { code: "WALLET_LOW".to_owned(), detail: String::new() });
    lane.trouble(&Trouble::new("RPC_UNREACHABLE", "no"), true);
    stored(&target, shard, "first");
    chain_head(8453, 7);
    asked(8453, "eth_chainId", "ok", took);
    let attempt = SignedAttempt { nonce: 0, attempt: 1, fee: "", raw: &[], tx_hash: "0x", items: &[] };
    carries(shard, &target, &attempt, &BTreeMap::new());
}

#[test]
fn the_page_shows_what_the_table_says_and_nothing_else() {
    let recorder = exposition::recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, record_all);
    let page = handle.render();
    let own: [&[Metric]; 2] = [table::TABLE, exposition::STAGES];
    assert_eq!(exposition::faults(&page, &own, true), Vec::<String>::new(), "{page}");
    assert!(page.contains(r#"oss_chain_wallet_balance{shard="financial",target="base"} 1"#), "{page}");
}

#[test]
fn the_committed_list_of_metrics_is_the_table() {
    testkit::generated::check("broadcaster.metrics.md", &exposition::document("broadcaster", &TABLES));
}
