//! The steps of stage 1, in order, once:
//!
//! 1. `admit`: body → request, or a problem (HTTP threads, pure);
//! 2. `submitter`: request → `:requests` (something to collect) or `:in`, by SUBMIT;
//! 3. `intake`: `:requests` → this process, as a member of the collectors' group;
//! 4. `collect`: every named source at once, each behind its own `source` actor;
//! 5. `deliver`: the COLLECTED or FAILED message → `:in`, by COLLECTED.
//!
//! Beside them `follow` withdraws what was handed out of blocks that left their chain, `watcher` follows `:status` for those who wait, and `feed` tells those who stream. Steps 3 to 5 run per shard on the main thread;
//! steps 1 and 2 on each HTTP thread.

use std::time::Duration;

use actix::Addr;
use common::ids::Shard;
use common::link::Commands;
use common::supervise::Shutdown;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::config::CollectSettings;
use crate::follow::Follower;
use crate::generation::Generation;
use crate::intake::{Drain, Intake, Leave, Parts};
use crate::source::{Catalog, Sources};
use crate::watcher::{Audience, StatusWatcher};

/// How long Redis may take to take back what is not finished.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

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
        audience: &Audience,
        shutdown: &Shutdown,
    ) -> Result<Self, String> {
        let sources = Sources::start(catalog)?;
        for (source, chain) in catalog.chains()? {
            let lifeline = shutdown.lifeline(format!("follower of {source}"));
            Follower::start(source, chain, commands, generation.clone(), lifeline);
        }
        let intakes = Shard::ALL.map(|shard| {
            let link = commands.shard(shard);
            let watched = shutdown.lifeline(format!("status watcher {shard}"));
            StatusWatcher::start(link.clone(), generation.clone(), audience.clone(), watched);
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

    /// Stops reading and waits until what was begun is handed over, at most `patience`. What is left then is
    /// given back, and another collector takes it over at once.
    pub(crate) async fn drain(self, patience: Duration) {
        let drains = self.intakes.iter().map(|intake| {
            let (drained, done) = oneshot::channel();
            intake.do_send(Drain(drained));
            done
        });
        // What is not in time is told by the intakes when they give it back.
        drop(tokio::time::timeout(patience, join_all(drains)).await);
        let leaving = join_all(self.intakes.iter().map(|intake| intake.send(Leave)));
        if tokio::time::timeout(LEAVE_PATIENCE, leaving).await.is_err() {
            tracing::warn!("Redis does not answer; unfinished requests are taken over after claim_idle_ms");
        }
    }
}
