use std::time::Duration;

use common::exposition;
use common::ids::{Rid, Shard};
use common::link::LinkError;

use super::*;

/// Every function here records something; the compiler sees to it that each is called from somewhere.
fn record_all() {
    let (shard, took) = (Shard::Financial, Duration::from_millis(3));
    let settings: Settings = common::config::load(crate::DEFAULTS, None).expect("the defaults");
    let source = "rate".parse().expect("a name");
    begin(&settings, &[&source]);
    submitted(shard, 2, took);
    link_failed(shard, "SUBMIT", &LinkError::Bound { call: "SUBMIT", what: "batch", len: 2, max: 1 });
    in_flight(shard, 2);
    taken_in(shard, took);
    collected(shard, took);
    saturated(shard, 1);
    delivered(shard, 1, 1, took);
    claimed(shard, 1);
    gave_back(shard, 1);
    poisoned(shard, Rid::fresh(shard), 4);
    collect_panicked(shard, Rid::fresh(shard));
    passed_on_unread(shard);
    source_answered(&source, took, Some(&SourceFault::unavailable("no")));
    source_restarted(&source);
    followed(&source, 9);
    watched(&source, 1);
    follow_failed(&source, &SourceFault::unavailable("no"));
    reorganised(&source, 2, 9);
    reorganised_too_deep(&source, 2);
    unconfirmed(&source, Doubts { second_look: 1, disputed: 1, unheard: 1 }, true);
    for why in Dropped::ALL {
        watch_dropped(&source, why, 1);
    }
    note_unreadable(&source, shard, StreamId::ZERO);
    withdrawn(&source, shard, "w:1", BlockRef { block: 9, block_hash: common::hash::Digest::ZERO });
}

#[test]
fn the_page_shows_what_the_table_says_and_nothing_else() {
    let page = exposition::page_of(record_all);
    let own: [&[Metric]; 2] = [table::TABLE, exposition::STAGES];
    let faults = exposition::faults(&page, &own, true);
    // The stages of this service have no target.
    assert_eq!(faults, ["oss_stage_busy_ratio never has its label target"], "{page}");
}

/// Without it the first event shows no increase, and no alert.
#[test]
fn what_alerts_wait_for_is_there_before_the_first_event() {
    let settings: Settings = common::config::load(crate::DEFAULTS, None).expect("the defaults");
    let source = "chain".parse().expect("a name");
    let page = exposition::page_of(|| begin(&settings, &[&source]));
    for name in FIRST_EVENT {
        assert!(page.contains(&format!(r#"{name}{{source="chain"}} 0"#)), "{name}: {page}");
    }
    for why in ["full", "memory", "unreadable"] {
        let dropped = format!(r#"oss_source_watch_dropped_total{{source="chain",why="{why}"}} 0"#);
        assert!(page.contains(&dropped), "{why}: {page}");
    }
    assert!(page.contains(&format!("oss_backlog_max {}", settings.limits.backlog_max)), "{page}");
}

#[test]
fn the_committed_list_of_metrics_is_the_table() {
    testkit::generated::check("collector.metrics.md", &exposition::document("collector", &TABLES));
}
