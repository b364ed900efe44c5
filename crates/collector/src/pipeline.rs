//! The steps of stage 1, in order, once:
//!
//! 1. `admit`: body → request, or a problem (HTTP threads, pure);
//! 2. `submitter`: request → `:requests` (something to collect) or `:in`, by SUBMIT;
//! 3. `intake`: `:requests` → this process, as a member of the collectors' group;
//! 4. `collect`: every named source at once, each behind its own `source` actor;
//! 5. `deliver`: the COLLECTED or FAILED message → `:in`, by COLLECTED.
//!
//! Beside them `watcher` follows `:status` for those who wait. Steps 3 to 5 run per shard on the main thread;
//! steps 1 and 2 on each HTTP thread.

use std::time::Duration;

use actix::Addr;
use common::ids::Shard;
use common::link::Commands;
use common::supervise::Shutdown;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::config::CollectSettings;
use crate::generation::Generation;
use crate::intake::{Drain, Intake, Parts};
use crate::source::{Catalog, Sources};
use crate::watcher::{StatusWatcher, Waiters};

/// Steps 3 to 5 of every shard, running.
#[derive(Debug)]
pub(crate) struct Pipeline {
    intakes: Vec<Addr<Intake>>,
}

impl Pipeline {
    /// Starts all actors on the current thread.
    ///
    /// # Errors
    /// A source cannot be built.
    pub(crate) fn start(
        commands: &Commands,
        settings: CollectSettings,
        catalog: &Catalog,
        generation: &Generation,
        waiters: &Waiters,
        shutdown: &Shutdown,
    ) -> Result<Self, String> {
        let sources = Sources::start(catalog)?;
        let intakes = Shard::ALL.map(|shard| {
            let link = commands.shard(shard);
            let watched = shutdown.lifeline(format!("status watcher {shard}"));
            StatusWatcher::start(link.clone(), generation.clone(), waiters.clone(), watched);
            Intake::start(Parts {
                link,
                settings,
                generation: generation.clone(),
                sources: sources.clone(),
                lifeline: shutdown.lifeline(format!("intake {shard}")),
                deliverer_lifeline: shutdown.lifeline(format!("deliverer {shard}")),
            })
        });
        Ok(Self { intakes: intakes.into() })
    }

    /// Stops reading and waits until what was begun is handed over, at most `patience`. What is left stays
    /// pending and is taken over by another collector, or by this one when it starts again.
    pub(crate) async fn drain(self, patience: Duration) {
        let drains = self.intakes.iter().map(|intake| {
            let (drained, done) = oneshot::channel();
            intake.do_send(Drain(drained));
            done
        });
        if tokio::time::timeout(patience, join_all(drains)).await.is_err() {
            tracing::warn!(
                seconds = patience.as_secs(),
                "Requests are left half collected; they stay pending"
            );
        }
    }
}
