//! A hole between the own archive and the log: what Redis has trimmed comes from another validator, an empty view
//! from its checkpoint.
//!
//! In: where the log begins. Out: the engine up to there, or in `/readyz` why not; until then this process is catching up
//! and takes no lease.

use super::{HOLE_RETRY, Runner};
use crate::error::{DataLoss, Failure};

impl Runner {
    /// Asks other validators for the entries before `first`; gives `false`: the log is to be joined then.
    pub(super) async fn fill(&mut self, hole: &DataLoss, first: u64) -> Result<bool, Failure> {
        self.shard.set_ready_to_lead(false);
        self.not_ready(&format!("catching up: {hole}; asking other validators"));
        if self.shard.now().seq == 0
            && crate::join::join(&self.shard, &self.duties.peers, &self.duties.stop).await?.is_some()
        {
            crate::replay::restore(&self.shard)?;
            return Ok(false);
        }
        let progress =
            |seq| self.not_ready(&format!("catching up: at entry {seq}, the log begins at {first}"));
        let fetched =
            crate::replay::fetch(&self.shard, &self.duties.peers, first, &self.duties.stop, progress).await?;
        if let Err(why) = fetched {
            let why = crate::error::chain(&why);
            tracing::error!(error = %hole, why, "The own archive ends before the log begins; not taking the lease");
            self.not_ready(&format!("catching up: {hole}; {why}"));
            tokio::select! {
                () = tokio::time::sleep(HOLE_RETRY) => {}
                _ = self.duties.stop.wait_for(|stop| *stop) => {}
            }
        }
        Ok(false)
    }
}
