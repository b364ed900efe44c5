//! Spans never wait for their receiver.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::config::TelemetrySettings;
use common::exposition;
use common::trace::{self, Kind};

const SPANS: u64 = 10_000;
/// What may wait, as `docs/operating.md` says.
const QUEUE: u64 = 2_048;

#[test]
fn a_receiver_that_hangs_costs_no_time_and_what_does_not_fit_is_counted() {
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let settings = TelemetrySettings { otlp_endpoint: endpoint, ..TelemetrySettings::default() };
    let exporter = trace::start(&settings, "test").expect("starts");
    let recorder = exposition::recorder();
    let handle = recorder.handle();
    let began = Instant::now();
    metrics::with_local_recorder(&recorder, || {
        for _ in 0..SPANS {
            let mut span = trace::begin(Kind::Server, "http", None, Duration::ZERO).expect("it is on");
            span.fact("rid", "r".to_owned());
        }
    });
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let page = handle.render();
    let lost = page.lines().find_map(|line| line.strip_prefix("oss_spans_lost_total "));
    assert_eq!(lost.and_then(|lost| lost.parse().ok()), Some(SPANS - QUEUE), "{page}");
    let began = Instant::now();
    drop(exporter);
    assert!(began.elapsed() < Duration::from_secs(6), "the end is bounded: {:?}", began.elapsed());
}
