//! Faults that come, last and go.
//!
//! One [`Weather`] per storm. Kinds come in rounds, each round in an order of its own, so that every kind comes equally
//! often; a part that a fault holds is left alone until the fault is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alloy::providers::ext::AnvilApi as _;
use common::exit;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use redis::Value;

use super::fault::{Fault, KINDS, Part, Parts, draw};
use crate::anvil::{Anvil, AnvilError};
use crate::proxy::Path;
use crate::run::RunError;
use crate::stack::Stack;

/// Between two faults, milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 150..900;
/// How far the moved clock may be from the machine's: requests must not all expire.
const CLOCK_MS: std::ops::Range<i64> = -60_000..120_000;
/// How often a kind is drawn anew because its part is held.
const DRAWS: usize = 8;

#[derive(Debug)]
pub(super) struct Weather {
    random: StdRng,
    parts: Parts,
    kinds: Vec<usize>,
    active: Vec<(Instant, Fault)>,
    next: Instant,
    clock_ms: i64,
    bytes_cut: u64,
    gave_up: usize,
    faults: BTreeMap<&'static str, usize>,
}

impl Weather {
    pub(super) fn new(random: StdRng, stack: &Stack) -> Self {
        let chains = stack.chains().iter().map(|chain| chain.name.to_string()).collect();
        let parts = Parts { services: stack.services(), links: stack.links(), chains };
        Self {
            random,
            parts,
            kinds: Vec::new(),
            active: Vec::new(),
            next: Instant::now(),
            clock_ms: 0,
            bytes_cut: 0,
            gave_up: 0,
            faults: BTreeMap::new(),
        }
    }

    pub(super) fn gave_up(&self) -> usize {
        self.gave_up
    }

    pub(super) fn bytes_cut(&self) -> u64 {
        self.bytes_cut
    }

    pub(super) fn into_faults(self) -> BTreeMap<&'static str, usize> {
        self.faults
    }

    /// Ends what is over, starts again what gave up, and begins the next fault if it is time.
    pub(super) async fn pass(&mut self, stack: &mut Stack, active_max: usize) -> Result<(), RunError> {
        let now = Instant::now();
        let over = self.active.extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>();
        for (_, fault) in over {
            end(&fault, stack).await?;
        }
        self.supervise(stack)?;
        if now < self.next || self.active.len() >= active_max {
            return Ok(());
        }
        self.next = now + Duration::from_millis(self.random.random_range(PAUSE_MS));
        let Some((fault, lasts)) = self.draw() else { return Ok(()) };
        self.begin(&fault, stack).await?;
        *self.faults.entry(fault.kind()).or_default() += 1;
        self.active.push((Instant::now() + lasts, fault));
        Ok(())
    }

    /// Ends everything.
    pub(super) async fn clear(&mut self, stack: &mut Stack) -> Result<(), RunError> {
        for (_, fault) in std::mem::take(&mut self.active) {
            end(&fault, stack).await?;
        }
        self.supervise(stack)
    }

    /// Starts again what has ended by itself. A process may give up without Redis, but never claim that data is lost.
    pub(super) fn supervise(&mut self, stack: &mut Stack) -> Result<(), RunError> {
        for (service, status) in stack.revive()? {
            if status.code().is_some_and(|code| [exit::DATA_LOSS, exit::CONFIG].contains(&code)) {
                return Err(RunError::Final { service, status });
            }
            self.gave_up += 1;
        }
        Ok(())
    }

    fn draw(&mut self) -> Option<(Fault, Duration)> {
        if self.kinds.is_empty() {
            self.kinds = (0..KINDS).collect();
            self.kinds.shuffle(&mut self.random);
        }
        let kind = self.kinds.pop()?;
        let held: BTreeSet<Part> = self.active.iter().map(|(_, fault)| fault.part()).collect();
        for _ in 0..DRAWS {
            let (fault, lasts) = draw(kind, &self.parts, &mut self.random)?;
            if !held.contains(&fault.part()) {
                return Some((fault, lasts));
            }
        }
        // Its turn comes again at the end of the round.
        self.kinds.insert(0, kind);
        None
    }

    async fn begin(&mut self, fault: &Fault, stack: &mut Stack) -> Result<(), RunError> {
        match fault {
            Fault::Kill(service) => stack.kill(*service)?,
            Fault::Freeze(service) => stack.freeze(*service)?,
            Fault::KillRedis => stack.kill_redis()?,
            Fault::CutPower => self.bytes_cut += stack.cut_redis_power()?,
            Fault::FreezeRedis => stack.redis().freeze()?,
            Fault::FillMemory => fill_memory(stack)?,
            Fault::MoveClock(by_ms) => {
                self.clock_ms = (self.clock_ms + by_ms).clamp(CLOCK_MS.start, CLOCK_MS.end);
                stack.redis().set_clock(self.clock_ms)?;
            }
            Fault::Network(link, path) => stack.set_path(link, *path)?,
            Fault::Reorganise(name) => chain(stack, name)?.reorganise(|_| 1).await?,
            Fault::DropTransactions(name) => {
                chain(stack, name)?
                    .provider()
                    .anvil_drop_all_transactions()
                    .await
                    .map_err(AnvilError::from)?;
            }
            Fault::PauseMining(name) => chain(stack, name)?.pause_mining().await?,
            Fault::FreezeChain(name) => chain(stack, name)?.freeze()?,
        }
        Ok(())
    }
}

async fn end(fault: &Fault, stack: &mut Stack) -> Result<(), RunError> {
    match fault {
        Fault::Kill(service) => stack.launch(*service)?,
        Fault::Freeze(service) => stack.thaw(*service)?,
        Fault::KillRedis | Fault::CutPower => stack.restart_redis()?,
        Fault::FreezeRedis => stack.redis().thaw()?,
        Fault::FillMemory => stack.redis().config_set("maxmemory", "0")?,
        Fault::Network(link, _) => stack.set_path(link, Path::Open)?,
        Fault::PauseMining(name) => chain(stack, name)?.resume_mining().await?,
        Fault::FreezeChain(name) => chain(stack, name)?.thaw()?,
        Fault::MoveClock(_) | Fault::Reorganise(_) | Fault::DropTransactions(_) => {}
    }
    Ok(())
}

fn chain<'a>(stack: &'a Stack, name: &str) -> Result<&'a Anvil, RunError> {
    let found = stack.chains().iter().find(|chain| chain.name.as_str() == name);
    found.map(|chain| &chain.anvil).ok_or(RunError::Broken("a chain is unknown"))
}

/// The limit goes to what is used: nothing more fits.
fn fill_memory(stack: &Stack) -> Result<(), RunError> {
    let info = stack.redis().command(&["INFO", "memory"])?;
    let Value::BulkString(info) = info else { return Err(RunError::Broken("INFO is no text")) };
    let text = String::from_utf8_lossy(&info);
    let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.ok_or(RunError::Broken("INFO tells no used_memory"))?;
    Ok(stack.redis().config_set("maxmemory", used.trim())?)
}
