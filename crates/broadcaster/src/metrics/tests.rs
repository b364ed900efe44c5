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
    lane.confirming(7, 1);
    lane.tenure(Some(1));
    lane.balance("1000000000000000000");
    lane.root_lag(1);
    lane.alarm(&Change::Began { code: "WALLET_LOW".to_owned(), detail: String::new() });
    lane.trouble(&Trouble::new("RPC_UNREACHABLE", "no"), true);
    stored(&target, shard, "first");
    chain_head(8453, 7);
    asked(8453, "eth_chainId", "ok", took);
    let attempt = SignedAttempt { nonce: 0, attempt: 1, fee: "", raw: &[], tx_hash: "0x", items: &[] };
    carries(shard, &target, &attempt, &BTreeMap::new(), took);
    lane.finished(&BTreeMap::new());
}

#[test]
fn the_page_shows_what_the_table_says_and_nothing_else() {
    let page = exposition::page_of(record_all);
    let own: [&[Metric]; 2] = [table::TABLE, exposition::STAGES];
    assert_eq!(exposition::faults(&page, &own, true), Vec::<String>::new(), "{page}");
    assert!(page.contains(r#"oss_chain_wallet_balance{shard="financial",target="base"} 1"#), "{page}");
}

#[test]
fn a_lane_that_is_not_driven_here_says_so_from_the_start_and_has_nothing_in_hand() {
    let recorder = exposition::recorder();
    let handle = recorder.handle();
    let shows = |held: u8, entries: u8, transactions: u8| {
        let page = handle.render();
        for line in [
            format!(r#"oss_broadcaster_lane_held{{shard="gaming",target="base"}} {held}"#),
            format!(r#"oss_broadcaster_entries_in_hand{{shard="gaming",target="base"}} {entries}"#),
            format!(r#"oss_stage_inflight{{stage="lane",shard="gaming",target="base"}} {transactions}"#),
        ] {
            assert!(page.contains(&line), "{line}: {page}");
        }
    };
    metrics::with_local_recorder(&recorder, || {
        let lane = LaneLabels::new(Shard::Gaming, &"base".parse().expect("a name"), 256);
        shows(0, 0, 0);
        lane.tenure(Some(7));
        lane.load(3, 2);
        shows(1, 3, 2);
        lane.tenure(None);
        shows(0, 0, 0);
    });
}

#[test]
fn the_committed_list_of_metrics_is_the_table() {
    testkit::generated::check("broadcaster.metrics.md", &exposition::document("broadcaster", &TABLES));
}
