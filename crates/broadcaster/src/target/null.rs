//! The target that takes everything and sends nothing: measures the path up to it.

use common::bridge::Part;
use common::link::LaneState;

use super::{AdvanceError, Examination, Fitness, Round, Target};
use crate::book::{Book, Stage};
use crate::desk::Desk;
use crate::receipt;
use crate::target::evm::ChainError;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Null;

impl Target for Null {
    async fn examine(&self) -> Result<Examination, ChainError> {
        Ok(Examination { fitness: Fitness::Fit, balance_wei: None, trouble: None, alarms: Vec::new() })
    }

    fn sender(&self) -> Option<String> {
        None
    }

    fn adopt(&mut self, _state: &LaneState, _book: &mut Book) {}

    fn check(&self, _part: &Part) -> Result<(), String> {
        Ok(())
    }

    async fn advance(&mut self, book: &mut Book, desk: &Desk) -> Result<Round, AdvanceError> {
        if desk.is_paused {
            return Ok(Round::default());
        }
        let taken: Vec<_> = book
            .ready(desk.clock.now_ms())
            .map(|(item, part)| (item, receipt::unsent(item.part, part.updates.len(), desk.skip(part))))
            .collect();
        for (item, part) in taken {
            book.set(item, Stage::Finished(part));
        }
        Ok(Round::default())
    }

    fn nonces_of(&self, _seqs: &[u64]) -> Vec<u64> {
        Vec::new()
    }

    fn forget(&mut self, _seqs: &[u64]) {}

    fn binds(&self) -> bool {
        false
    }

    fn in_flight(&self) -> usize {
        0
    }
}
