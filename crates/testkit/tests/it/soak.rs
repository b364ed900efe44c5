//! A full backlog and a full memory, end to end; with 200,000 requests around them: `cargo run -p testkit -- soak`.

use testkit::soak::{self, Options};

use crate::scene::{self, Must as _};

const REQUESTS: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backlog_and_a_full_memory_refuse_drain_and_recover() {
    let report = soak::run(Options { seed: scene::seed(), requests: REQUESTS }).await.must();
    eprintln!("{report}");
    assert!(report.acknowledged > REQUESTS + report.backlog.accepted, "{report}");
    assert!(report.backlog.longest <= report.backlog.bound && report.backlog.refused > 0, "{report}");
    assert!(report.memory.waiting > 0 && report.memory.refused > 0, "{report}");
}
