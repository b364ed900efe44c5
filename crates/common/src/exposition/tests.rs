use metrics::{counter, gauge, histogram};

use super::*;

const ROWS: &[Metric] = &[
    Metric { name: "oss_a_total", kind: Kind::Counter, labels: &["shard"], help: "Counts a." },
    Metric { name: "oss_b_seconds", kind: Kind::Histogram, labels: &["stage"], help: "Times b." },
];

fn page(record: impl FnOnce()) -> String {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe(&[ROWS]);
        record();
    });
    handle.render()
}

#[test]
fn a_page_that_shows_every_row_as_the_table_says_has_no_fault() {
    let page = page(|| {
        counter!("oss_a_total", "shard" => r#"quote " and, comma="#).increment(1);
        histogram!("oss_b_seconds", "stage" => "x").record(0.2);
    });
    assert_eq!(faults(&page, &[ROWS], true), Vec::<String>::new(), "{page}");
    assert!(page.contains("# HELP oss_a_total Counts a."), "{page}");
    assert!(page.contains(r#"oss_b_seconds_bucket{stage="x",le="0.25"} 1"#), "{page}");
}

#[test]
fn what_no_row_says_and_what_is_never_set_are_faults() {
    let page = page(|| {
        gauge!("oss_a_total", "shard" => "x", "who" => "y").set(1.0);
        counter!("oss_c_total").increment(1);
    });
    let partly = [
        "oss_a_total is a gauge, its row says counter",
        "oss_a_total has a label who that its row does not name",
        "oss_c_total is in no table",
    ];
    assert_eq!(faults(&page, &[ROWS], false), partly);
    let whole = faults(&page, &[ROWS], true);
    assert_eq!(whole.last().map(String::as_str), Some("oss_b_seconds is in the table and never set"));
}
