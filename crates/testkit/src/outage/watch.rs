//! What the services hold while a half goes on, as their metrics and the operating system say.

use std::fmt;

use crate::run::RunError;
use crate::stack::{Role, Stack};

use super::{CHAINS, DEAD_CHAIN};

/// The most that was held at one moment of a half.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Peak {
    /// Requests a collector has a place for.
    pub collecting: f64,
    /// Entries in the hands of the lanes of the chains that live.
    pub in_hand: f64,
    /// The same of the chain that is dead.
    pub in_dead_hand: f64,
    /// Threads of all services.
    pub threads: usize,
    /// Open files of all services, connections among them.
    pub files: usize,
}

impl Peak {
    pub(super) const HEAD: &str = "collecting  in hand  dead  threads  files";

    pub(super) fn is_empty(&self) -> bool {
        self.collecting + self.in_hand + self.in_dead_hand < 0.5
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { collecting, in_hand, in_dead_hand, threads, files } = self;
        write!(f, "{collecting:>10}  {in_hand:>7}  {in_dead_hand:>4}  {threads:>7}  {files:>5}")
    }
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    peak: Peak,
}

impl Watch {
    /// Looks once.
    pub(super) async fn look(&mut self, stack: &Stack) -> Result<(), RunError> {
        let mut now = Peak::default();
        for service in stack.services() {
            let held = stack.held(service)?;
            now.threads += held.threads;
            now.files += held.files;
            if service.role == Role::Validator {
                continue;
            }
            let metrics = stack.metrics(service).await?;
            now.collecting += metrics.sum("oss_stage_inflight", &[r#"stage="collect""#]);
            for (chain, _) in CHAINS {
                let label = format!("target=\"{chain}\"");
                let entries = metrics.sum("oss_broadcaster_entries_in_hand", &[&label]);
                if chain == DEAD_CHAIN {
                    now.in_dead_hand += entries;
                } else {
                    now.in_hand += entries;
                }
            }
        }
        let peak = &mut self.peak;
        peak.collecting = peak.collecting.max(now.collecting);
        peak.in_hand = peak.in_hand.max(now.in_hand);
        peak.in_dead_hand = peak.in_dead_hand.max(now.in_dead_hand);
        peak.threads = peak.threads.max(now.threads);
        peak.files = peak.files.max(now.files);
        Ok(())
    }

    pub(super) const fn peak(&self) -> Peak {
        self.peak
    }
}
