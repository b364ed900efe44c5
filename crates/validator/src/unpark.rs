//! Parked messages: of a schema version that no build knew when they came. A leader that can read them moves
//! them back to `:in`.

use common::link::{Fence, Stream, StreamId, Unparked};
use common::message::{DecodeError, Message};

use crate::error::Failure;
use crate::shard::ShardState;

const PAGE: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Moved {
    Done,
    Fenced,
}

/// Moves every parked message that this build can read.
pub(crate) async fn unpark(shard: &ShardState, fence: &Fence) -> Result<Moved, Failure> {
    let mut last = StreamId::ZERO;
    loop {
        let call = async || shard.link.after(Stream::Parked, last, PAGE).await;
        let page = crate::retry::until_known("read parked messages", call).await?;
        let Some(newest) = page.last() else { return Ok(Moved::Done) };
        last = newest.id;
        let readable = |message: &&common::link::Message| {
            !matches!(Message::decode(&message.payload), Err(DecodeError::UnknownVersion { .. }))
        };
        let ids: Vec<StreamId> = page.iter().filter(readable).map(|message| message.id).collect();
        if ids.is_empty() {
            continue;
        }
        let call = async || shard.link.unpark(fence, &ids).await;
        match crate::retry::until_known("move parked messages back", call).await? {
            Unparked::Ok(_) => {
                tracing::info!(shard = %shard.shard, count = ids.len(), "Moved parked messages back");
            }
            Unparked::Fenced => return Ok(Moved::Fenced),
        }
    }
}
