//! Where a stream of all shards is: one stream id per shard, in the shards' order. Pure.

use std::fmt;
use std::str::FromStr;

use common::ids::Shard;
use common::link::StreamId;

const SHARDS: usize = Shard::ALL.len();

/// The last notification seen of each shard; as text `<id>,<id>,<id>,<id>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position([StreamId; SHARDS]);

impl Position {
    pub(super) const fn new(ids: [StreamId; SHARDS]) -> Self {
        Self(ids)
    }

    pub(super) fn of(&self, shard: Shard) -> StreamId {
        self.0.get(usize::from(shard.number())).copied().unwrap_or_default()
    }

    /// Takes note of a notification; false if it was seen before.
    pub(super) fn advance(&mut self, shard: Shard, id: StreamId) -> bool {
        match self.0.get_mut(usize::from(shard.number())) {
            Some(seen) if *seen < id => {
                *seen = id;
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|id| id.to_string()).join(","))
    }
}

/// A text that is no position.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let ids: Result<Vec<StreamId>, _> = text.split(',').map(str::parse).collect();
        let ids: Vec<StreamId> = ids.map_err(|_| NoPosition)?;
        ids.try_into().map(Self).map_err(|_| NoPosition)
    }
}

#[cfg(test)]
mod tests {
    use common::ids::Shard;
    use common::link::StreamId;

    use super::{NoPosition, Position};

    #[test]
    fn a_position_moves_forwards_only_and_survives_its_text() {
        let mut position = Position::default();
        assert!(position.advance(Shard::Gaming, StreamId::new(5, 1)));
        assert!(!position.advance(Shard::Gaming, StreamId::new(5, 1)));
        assert!(!position.advance(Shard::Gaming, StreamId::new(4, 9)));
        assert!(position.advance(Shard::General, StreamId::new(1, 0)));
        assert_eq!(position.to_string(), "0-0,5-1,0-0,1-0");
        assert_eq!("0-0,5-1,0-0,1-0".parse(), Ok(position));
        for text in ["", "1-0", "0-0,0-0,0-0", "0-0,0-0,0-0,0-0,0-0", "a,b,c,d"] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }
}
