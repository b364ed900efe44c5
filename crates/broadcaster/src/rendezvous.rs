//! Who drives a lane: rendezvous hashing over the live broadcasters.
//!
//! In: names of live instances and a lane. Out: the instance with the highest weight. Every replica computes
//! the same answer from the same members; when one joins or leaves only its own lanes move. The answer only
//! decides who tries for the lane's lease; the lease decides who may write.

use common::hash::Digest;
use common::ids::{Name, Shard};

/// Domain of the weights, so that they are unrelated to every other hash.
const DOMAIN: &[u8] = b"oss/lane/1";

/// The instance that should drive the lane; `None` without members.
pub(crate) fn owner<'a>(
    members: impl IntoIterator<Item = &'a str>,
    shard: Shard,
    target: &Name,
) -> Option<&'a str> {
    members.into_iter().max_by_key(|member| (weight(member, shard, target), *member))
}

/// SHA-256 over length-prefixed fields: no two lanes or members share an encoding.
fn weight(member: &str, shard: Shard, target: &Name) -> Digest {
    let len = u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes();
    Digest::of(&[DOMAIN, &len, member.as_bytes(), &[shard.number()], target.as_str().as_bytes()])
}

#[cfg(test)]
mod tests;
