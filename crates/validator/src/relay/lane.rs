//! One target's lane: from its watermark to the head, a run of entries per call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::link::{Fence, RelayLimits, Relayed};

use super::backoff::Backoff;
use super::run::Run;
use super::{Address, Work};
use crate::config::RelaySettings;
use crate::error::chain;
use crate::shard::ShardState;
use crate::signer::{Signer, SignerError};
use crate::view::{Page, ViewError};

/// Payload bytes of one call; the script runs in one piece.
const RUN_BYTES_MAX: usize = 1 << 20;
/// When to ask again for a target that has no watermark yet: START is on its way.
const START_RETRY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shard: Arc<ShardState>,
    pub(super) signer: Arc<Signer>,
    pub(super) settings: RelaySettings,
    pub(super) fence: Fence,
    pub(super) target: Address,
}

/// Why a lane cannot go on: the process halts.
#[derive(Debug, thiserror::Error)]
enum LaneFault {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Link(#[from] common::link::LinkError),
    #[error("entry {seq} is in the log but not in the archive")]
    Missing { seq: u64 },
    #[error("entry {seq} of the archive cannot be read")]
    Entry { seq: u64, source: serde_json::Error },
}

impl Lane {
    /// Relays until the lease is lost. Dropping the future ends it at any point without harm.
    pub(super) async fn run(self) {
        if let Err(fault) = self.relay_all().await {
            let target = &self.target.name;
            tracing::error!(shard = %self.shard.shard, %target, "Relay cannot go on");
            common::supervise::halt(common::exit::ESSENTIAL, &chain(&fault));
        }
    }

    async fn relay_all(&self) -> Result<(), LaneFault> {
        let mut standing = self.shard.standing();
        let mut watermark = self.watermark().await?;
        let mut run = Run::default();
        let mut backoff = Backoff::new(self.settings.full_retry());
        let mut is_full = false;
        loop {
            let head = standing.borrow_and_update().seq;
            let Some(done) = watermark else {
                tokio::time::sleep(START_RETRY).await;
                watermark = self.watermark().await?;
                continue;
            };
            if done >= head {
                if standing.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            if !run.follows(done) {
                run = Run::new(done + 1, self.prepare(done + 1, head)?);
            }
            // One entry asks a full outbox whether there is room again.
            let relayed = self.relay_run(&run, if is_full { 1 } else { usize::MAX }).await?;
            is_full = matches!(relayed, Relayed::Full { .. });
            watermark = match relayed {
                Relayed::Ok { watermark } => {
                    backoff.reset();
                    Some(watermark)
                }
                Relayed::Full { watermark } => {
                    self.shard.note_full(&self.target.name);
                    if watermark > done {
                        backoff.reset();
                    }
                    tokio::time::sleep(backoff.take()).await;
                    Some(watermark)
                }
                Relayed::Gap { watermark } => watermark,
                Relayed::Unstable { .. } => {
                    tokio::time::sleep(START_RETRY).await;
                    watermark
                }
                Relayed::Fenced => {
                    crate::metrics::fenced(self.shard.shard, "relay", self.fence.epoch);
                    return Ok(());
                }
            };
            run.relayed(watermark.unwrap_or(0));
            common::crash_point!("validator.after_relay");
        }
    }

    async fn watermark(&self) -> Result<Option<u64>, LaneFault> {
        let head = crate::retry::until_known("read head", async || self.shard.link.head().await).await?;
        Ok(head.watermarks.get(self.target.name.as_str()).copied())
    }

    /// Hands the first `max` entries of the run over.
    async fn relay_run(&self, run: &Run, max: usize) -> Result<Relayed, LaneFault> {
        let entries = run.entries(max);
        let limits =
            RelayLimits { out_max: self.settings.out_max, progress_ttl_ms: self.shard.record_ttl_ms() };
        common::crash_point!("validator.before_relay");
        let began = Instant::now();
        let call = async || {
            self.shard.link.relay(&self.fence, &self.target.name, run.first(), &entries, limits).await
        };
        let relayed = crate::retry::until_known("relay", call).await?;
        crate::metrics::step(self.shard.shard, "relay", began.elapsed());
        Ok(relayed)
    }

    /// The payloads of a run from `first`, within the bounds of one call; at least one entry.
    fn prepare(&self, first: u64, head: u64) -> Result<Vec<Option<Vec<u8>>>, LaneFault> {
        let open = self.open(first)?;
        let mut run = Vec::new();
        let mut bytes = 0;
        let mut seq = first;
        while seq <= head && run.len() < self.settings.run_max && bytes < RUN_BYTES_MAX {
            match self.shard.recent.get(seq) {
                Some(work) => {
                    let payload = self.payload(&work, &open)?;
                    bytes += payload.as_ref().map_or(0, Vec::len);
                    run.push(payload);
                    seq += 1;
                }
                None if run.is_empty() => return self.prepare_archived(first, head, &open),
                None => break,
            }
        }
        Ok(run)
    }

    fn prepare_archived(
        &self,
        first: u64,
        head: u64,
        open: &BTreeSet<u64>,
    ) -> Result<Vec<Option<Vec<u8>>>, LaneFault> {
        let page = Page { entries_max: self.settings.run_max, bytes_max: 4 * RUN_BYTES_MAX };
        let mut run = Vec::new();
        let mut bytes = 0;
        let entries = self.shard.view.entries(first, page)?;
        if entries.first().is_none_or(|entry| entry.seq != first) {
            return Err(LaneFault::Missing { seq: first });
        }
        for entry in entries {
            if entry.seq > head || bytes >= RUN_BYTES_MAX {
                break;
            }
            let body = entry.decode().map_err(|source| LaneFault::Entry { seq: entry.seq, source })?;
            let payload = self.payload(&Work::of(&body), open)?;
            bytes += payload.as_ref().map_or(0, Vec::len);
            run.push(payload);
        }
        Ok(run)
    }

    /// The entries of the next run that the target has still to finish. A target takes part in an entry from
    /// its COMMIT on until its receipt is consumed, so only a REWIND meets entries that are not among them.
    fn open(&self, first: u64) -> Result<BTreeSet<u64>, LaneFault> {
        let open =
            self.shard.view.snapshot()?.open_from(self.target.name.as_str(), first, self.settings.run_max)?;
        Ok(open.into_iter().collect())
    }

    /// What of an entry goes to the target: nothing, if it has sent its receipt. A second one must not arise.
    fn payload(&self, work: &Work, open: &BTreeSet<u64>) -> Result<Option<Vec<u8>>, LaneFault> {
        if !open.contains(&work.seq) {
            return Ok(None);
        }
        let began = Instant::now();
        let payload = work.for_target(&self.target, &self.signer)?;
        if payload.is_some() {
            let traces = work.traces.iter().map(|(rid, context)| (rid.as_str(), context.as_str()));
            let facts = [("target", self.target.name.to_string()), ("seq", work.seq.to_string())];
            common::trace::each("relay", traces, began.elapsed(), &facts);
            crate::metrics::prepared(self.shard.shard, &self.target.name);
        }
        Ok(payload)
    }
}
