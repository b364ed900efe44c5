//! Reading `:idx`: the accepted requests of one shard by time, newest first. What a member names may have expired.

use super::{Link, LinkError, reply};
use crate::ids::Rid;

/// One accepted request and its place among all: by time, then by id, over all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indexed {
    /// When it was accepted, Unix ms.
    pub at_ms: u64,
    pub rid: Rid,
}

impl Link {
    /// Up to `count` requests strictly before a place (`None` = before everything to come) and not older than
    /// `from_ms`, newest first; fewer only if there are no more. Besides these it passes over the requests that
    /// were accepted in the very millisecond of `before`: as many as Redis takes in then.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn indexed(
        &self,
        before: Option<Indexed>,
        from_ms: u64,
        count: usize,
    ) -> Result<Vec<Indexed>, LinkError> {
        const CALL: &str = "ZRANGE idx";
        let newest = before.map_or_else(|| "+inf".to_owned(), |before| before.at_ms.to_string());
        let (mut found, mut offset) = (Vec::with_capacity(count), 0);
        loop {
            let mut command = redis::cmd("ZRANGE");
            command.arg(self.keys.index()).arg(&newest).arg(from_ms).arg("BYSCORE").arg("REV");
            command.arg("LIMIT").arg(offset).arg(count).arg("WITHSCORES");
            let members = reply::pairs(CALL, self.query(CALL, &command).await?)?;
            let read = members.len();
            for (rid, score) in members {
                let at_ms = reply::parse(CALL, &String::from_utf8_lossy(&score))?;
                let member = Indexed { at_ms, rid: reply::parse(CALL, &rid)? };
                if before.is_none_or(|before| member < before) {
                    found.push(member);
                }
            }
            if found.len() >= count || read < count {
                found.truncate(count);
                return Ok(found);
            }
            offset += read;
        }
    }
}
