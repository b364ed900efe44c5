//! Making and replacing blocks, and whether what anvil shows is a chain.

use std::time::Duration;

use alloy::primitives::B256;
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::types::anvil::ReorgOptions;
use alloy::transports::TransportError;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Anvil, AnvilError, Mining};

/// Without a new block for so long, none is being made.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
/// How often blocks are replaced until they hang together.
const REORGANISATIONS_MAX: u32 = 5;
/// Blocks asked for at once.
const LINKS_AT_ONCE: usize = 16;

impl Anvil {
    /// Makes no blocks from now on, but those asked for.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn pause_mining(&self) -> Result<(), AnvilError> {
        Ok(self.provider().anvil_set_interval_mining(0).await?)
    }

    /// Makes blocks again as it was started to.
    ///
    /// # Errors
    /// The chain refuses.
    pub async fn resume_mining(&self) -> Result<(), AnvilError> {
        let Mining::Every(seconds) = self.options.mining else { return Ok(()) };
        Ok(self.provider().anvil_set_interval_mining(seconds).await?)
    }

    /// Replaces the newest blocks by empty ones; `depth` makes of the newest block's number how many.
    ///
    /// Blocks are not made meanwhile: one that anvil 1.7.1 is making when it reorganises (ticks that a busy machine
    /// or SIGCONT has held up come all at once) stays in the chain on a parent that is gone, with its transactions,
    /// which then land again. Should it have happened all the same, everything from there on is replaced once more.
    ///
    /// # Errors
    /// The chain refuses, or does not hang together after some attempts.
    pub async fn reorganise(&self, depth: impl Fn(u64) -> u64) -> Result<(), AnvilError> {
        self.pause_mining().await?;
        let reorganised = self.replace_newest(depth).await;
        self.resume_mining().await?;
        reorganised
    }

    async fn replace_newest(&self, depth: impl Fn(u64) -> u64) -> Result<(), AnvilError> {
        let provider = self.provider();
        let newest = self.settled().await?;
        let mut first = (newest + 1).saturating_sub(depth(newest));
        for _ in 0..REORGANISATIONS_MAX {
            let newest = self.settled().await?;
            let options = ReorgOptions { depth: newest + 1 - first, tx_block_pairs: Vec::new() };
            provider.anvil_reorg(options).await?;
            let newest = self.settled().await?;
            match first_loose(&provider, first.saturating_sub(1), newest).await? {
                None => return Ok(()),
                // The one before it may be missing.
                Some(loose) => first = first.min(loose.saturating_sub(1)),
            }
        }
        Err(AnvilError::Loose { block: first })
    }

    /// The newest block's number once no block is being made.
    async fn settled(&self) -> Result<u64, AnvilError> {
        let mut newest = self.provider().get_block_number().await?;
        loop {
            tokio::time::sleep(SETTLED_AFTER).await;
            let now = self.provider().get_block_number().await?;
            if std::mem::replace(&mut newest, now) == now {
                return Ok(now);
            }
        }
    }
}

/// The first block from `first` to `newest` that is missing, or does not stand on the one before it.
pub(crate) async fn first_loose(
    provider: &RootProvider,
    first: u64,
    newest: u64,
) -> Result<Option<u64>, TransportError> {
    let link = async |number: u64| {
        let block = provider.get_block_by_number(number.into()).await?;
        Ok::<_, TransportError>(block.map(|block| (block.header.hash, block.header.parent_hash)))
    };
    let links: Vec<_> = stream::iter(first..=newest).map(link).buffered(LINKS_AT_ONCE).try_collect().await?;
    Ok(loose(&links).map(|place| first + place))
}

/// The place of the first that is missing or does not stand on the one before it. A link: hash and parent.
fn loose(links: &[Option<(B256, B256)>]) -> Option<u64> {
    let mut before = None;
    let mut is_loose = |link: &Option<(B256, B256)>| {
        let parent = std::mem::replace(&mut before, link.map(|(hash, _)| hash));
        link.is_none_or(|(_, on)| parent.is_some_and(|parent| parent != on))
    };
    (0..).zip(links).find_map(|(place, link)| is_loose(link).then_some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_on_another_parent_and_a_missing_one_are_no_chain() {
        let link = |hash: u8, on: u8| Some((B256::repeat_byte(hash), B256::repeat_byte(on)));
        assert_eq!(loose(&[link(1, 0), link(2, 1), link(3, 2)]), None);
        assert_eq!(loose(&[link(1, 0), link(2, 1), link(4, 3)]), Some(2));
        assert_eq!(loose(&[link(1, 0), None, link(3, 2)]), Some(1));
    }
}
