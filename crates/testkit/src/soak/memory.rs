//! How much memory each part uses, and whether it grew.

use std::collections::BTreeMap;
use std::fmt;

use redis::Value;

use crate::run::{RunError, percentile};
use crate::stack::{Role, Service, Stack, held};

/// What a key of Redis may use: a record of an ended request (at most 384 bytes of fields) with its place in the index, or
/// the progress of an entry, with Redis' own overhead.
const KEY_BYTES: u64 = 1_024;

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Collector,
    Validator,
    Broadcaster,
    /// The server's process.
    RedisResident,
    /// What it has given out.
    RedisUsed,
    /// That without what its keys may use: streams, scripts, clients.
    RedisBeside,
}

impl Part {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Validator => "validator",
            Self::Broadcaster => "broadcaster",
            Self::RedisResident => "redis resident",
            Self::RedisUsed => "redis used",
            Self::RedisBeside => "redis beside keys",
        }
    }

    /// Records of ended requests stay for at least 15 minutes, so that these grow until there are 15 minutes' worth.
    const fn is_compared(self) -> bool {
        !matches!(self, Self::RedisResident | Self::RedisUsed)
    }
}

/// The median of a third, KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Third {
    kib: u64,
    is_compared: bool,
}

impl Third {
    pub(super) const MARGIN: &str = "10 % and 4 MiB";

    /// Above the other one by more than the margin.
    #[must_use]
    pub fn is_above(self, other: Self) -> bool {
        self.is_compared && self.kib > other.kib + other.kib / 10 + 4_096
    }
}

impl fmt::Display for Third {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kib.fmt(f)
    }
}

/// Looks at all parts again and again.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    bytes: BTreeMap<Part, Vec<u64>>,
}

impl Sampler {
    pub(super) fn look(&mut self, stack: &Stack) -> Result<(), RunError> {
        for (part, role) in [
            (Part::Collector, Role::Collector),
            (Part::Validator, Role::Validator),
            (Part::Broadcaster, Role::Broadcaster),
        ] {
            self.note(part, stack.held(Service { role, index: 0 })?.resident);
        }
        let id = info(stack, "server", "process_id:")?;
        let id = u32::try_from(id).map_err(|_| RunError::Broken("redis has no process id"))?;
        let used = info(stack, "memory", "used_memory:")?;
        let Value::Int(keys) = stack.redis().command(&["DBSIZE"])? else {
            return Err(RunError::Broken("DBSIZE is no number"));
        };
        let keys = u64::try_from(keys).unwrap_or(0);
        self.note(Part::RedisResident, held(id)?.resident);
        self.note(Part::RedisUsed, used);
        self.note(Part::RedisBeside, used.saturating_sub(keys * KEY_BYTES));
        Ok(())
    }

    fn note(&mut self, part: Part, bytes: u64) {
        self.bytes.entry(part).or_default().push(bytes);
    }

    fn median(&self, part: Part) -> Third {
        let values = self.bytes.get(&part).map_or(&[][..], Vec::as_slice);
        let kib = percentile(values, 50).unwrap_or(0) / 1_024;
        Third { kib, is_compared: part.is_compared() }
    }
}

/// Medians of the three samplers, per part.
pub(super) fn compare(samplers: &[Sampler; 3]) -> BTreeMap<Part, [Third; 3]> {
    let parts = samplers.iter().flat_map(|sampler| sampler.bytes.keys().copied());
    parts.map(|part| (part, samplers.each_ref().map(|sampler| sampler.median(part)))).collect()
}

/// A number that `INFO` tells.
pub(super) fn info(stack: &Stack, section: &str, name: &str) -> Result<u64, RunError> {
    let Value::BulkString(text) = stack.redis().command(&["INFO", section])? else {
        return Err(RunError::Broken("INFO is no text"));
    };
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or(RunError::Broken("INFO lacks a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_the_margin_is_seen_and_within_it_is_not() {
        let third = |kib| Third { kib, is_compared: true };
        assert!(!third(59_000).is_above(third(50_000)));
        assert!(third(60_000).is_above(third(50_000)));
        let records = Third { kib: 60_000, is_compared: false };
        assert!(!records.is_above(third(50_000)));
        let mut samplers = [Sampler::default(), Sampler::default(), Sampler::default()];
        for (sampler, bytes) in samplers.iter_mut().zip([1 << 20, 20 << 20, 40 << 20]) {
            sampler.note(Part::Validator, bytes);
        }
        let [_, middle, last] = compare(&samplers)[&Part::Validator];
        assert!(last.is_above(middle));
    }
}
