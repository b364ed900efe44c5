//! A dead chain and a source that is a black hole, for some seconds; longer: `cargo run -p testkit -- outage`.

use std::time::Duration;

use testkit::outage::{self, Options};

use crate::scene::Must as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_chain_is_dead_and_a_source_a_black_hole_everything_else_completes() {
    // Shorter than a half, so that places of stuck requests are given back within it.
    let deadline = Duration::from_secs(4);
    let options = Options { length: Duration::from_secs(10), rounds: 1, per_second: 12, deadline };
    let report = outage::run(options).await.must();
    eprintln!("{report}");
    for (without, with) in &report.rounds {
        for half in [without, with] {
            assert!(half.sent >= 60 && half.completed == half.sent, "{report}");
            assert!(half.stuck >= half.sent / 4, "{report}");
        }
        // Each dead thing really held something meanwhile, or this run says nothing.
        assert!(with.peak.collecting >= 5.0, "{report}");
    }
    // Whatever time it took: a ratio on a busy machine says nothing, so that only the long run looks at it.
    assert!(report.ratio() > 0);
}
