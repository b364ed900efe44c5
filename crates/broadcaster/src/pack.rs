//! Which items share the next transaction.
//!
//! In: items ready to be bound, in order, each with the gas its part may use at most. Out: as many from the
//! front as fit into one transaction and into the lane's window. Parts of several entries share one
//! transaction; an item is never split (the validator has cut parts to 50 updates).
//!
//! Gas figures are upper bounds of the contract's own work, checked against a real chain by the integration tests: unused
//! gas costs nothing, a transaction that runs out of it costs a round trip for everything in it. Chains that charge
//! other things inside the gas limit (Arbitrum: the first layer's data) say so in their estimate.

use common::bridge::Update;
use common::link::Item;

/// Base cost of a transaction, and the loop and calldata overhead of the call itself.
const TRANSACTION_GAS: u64 = 40_000;
/// Per part: calldata of header and one signature, recovery, two cold ring slots and the newest seq, the event.
const PART_GAS: u64 = 120_000;
/// Per update of an asset that the chain holds: two storage slots change, an event, 128 bytes of calldata.
const UPDATE_GAS: u64 = 17_000;
/// Per update that may be the asset's first on the chain: two storage slots are new.
const FIRST_UPDATE_GAS: u64 = 54_000;

/// A transaction that does nothing needs 21,000 on most chains.
pub(crate) const FILLER_GAS: u64 = 60_000;

/// Gas one part uses at most. An update with `from` above 0 applies only to an asset the chain holds.
pub(crate) fn part_gas(updates: &[Update]) -> u64 {
    let gas = |update: &Update| if update.from == 0 { FIRST_UPDATE_GAS } else { UPDATE_GAS };
    updates.iter().map(gas).fold(PART_GAS, u64::saturating_add)
}

/// An item that may be bound now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) item: Item,
    /// See [`part_gas`].
    pub(crate) gas: u64,
    /// It ran out of gas before: it gets more, and takes nothing else with it.
    pub(crate) goes_alone: bool,
}

/// What one transaction may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) gas_max: u64,
    pub(crate) items_max: usize,
}

/// The content of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pack {
    pub(crate) items: Vec<Item>,
    /// Gas limit to sign.
    pub(crate) gas: u64,
}

/// Takes from the front of `candidates` what one transaction holds; `None` if nothing may go. A first item
/// that is larger than `gas_max` alone goes alone: it can never become smaller.
pub(crate) fn next(
    candidates: &mut std::iter::Peekable<impl Iterator<Item = Candidate>>,
    room: Room,
) -> Option<Pack> {
    let mut pack = Pack { items: Vec::new(), gas: TRANSACTION_GAS };
    while pack.items.len() < room.items_max {
        let fits = |candidate: &Candidate| {
            pack.items.is_empty()
                || !candidate.goes_alone && pack.gas.saturating_add(candidate.gas) <= room.gas_max
        };
        let Some(candidate) = candidates.next_if(fits) else { break };
        let Candidate { goes_alone, .. } = candidate;
        pack.items.push(candidate.item);
        pack.gas = pack.gas.saturating_add(candidate.gas);
        if goes_alone {
            break;
        }
    }
    (!pack.items.is_empty()).then_some(pack)
}

/// Gas limit of a transaction with these parts.
pub(crate) fn transaction_gas<'a>(parts: impl Iterator<Item = &'a [Update]>) -> u64 {
    parts.map(part_gas).fold(TRANSACTION_GAS, u64::saturating_add)
}

/// The gas limit to sign. `bound`: our own figure; `estimate`: the chain's, which is of its present state and gets a quarter
/// on top; `starved`: how often the part ran out of gas, each time it gets twice as much, up to `gas_max`.
pub(crate) fn gas_limit(bound: u64, estimate: Option<u64>, starved: u32, gas_max: u64) -> u64 {
    let base = estimate.map_or(bound, |estimate| bound.max(estimate.saturating_add(estimate / 4)));
    base.saturating_mul(1_u64.checked_shl(starved).unwrap_or(u64::MAX)).min(gas_max.max(base))
}

#[cfg(test)]
mod tests {
    use common::bridge::Update;
    use common::hash::Digest;
    use common::link::Item;

    use super::{
        Candidate, FIRST_UPDATE_GAS, PART_GAS, Room, TRANSACTION_GAS, UPDATE_GAS, gas_limit, next, part_gas,
        transaction_gas,
    };

    fn candidates(gas: &[u64]) -> Vec<Candidate> {
        let candidate = |(seq, gas): (u64, &u64)| {
            let item = Item { seq, part: 0 };
            Candidate { item, gas: *gas, goes_alone: false }
        };
        (1..).zip(gas).map(candidate).collect()
    }

    fn packs(gas: &[u64], room: Room) -> Vec<usize> {
        let mut rest = candidates(gas).into_iter().peekable();
        std::iter::from_fn(|| next(&mut rest, room)).map(|pack| pack.items.len()).collect()
    }

    #[test]
    fn transactions_are_filled_in_order_up_to_the_gas_and_item_bounds() {
        let room = |gas, items_max| Room { gas_max: TRANSACTION_GAS + gas, items_max };
        for (what, gas, room, expected) in [
            ("nothing", &[][..], room(100, 9), vec![]),
            ("all fit", &[30, 30, 40], room(100, 9), vec![3]),
            ("one more than fits", &[30, 30, 40, 1], room(100, 9), vec![3, 1]),
            ("order is kept though a later one would fit", &[60, 60, 40], room(100, 9), vec![1, 2]),
            ("larger than a transaction", &[500, 50], room(100, 9), vec![1, 1]),
            ("item bound", &[1, 1, 1, 1, 1], room(100, 2), vec![2, 2, 1]),
            ("no window left", &[1], room(100, 0), vec![]),
        ] {
            assert_eq!(packs(gas, room), expected, "{what}");
        }
    }

    fn updates(len: usize, from: u64) -> Vec<Update> {
        let update = Update { asset: Digest::ZERO, from, version: from + 1, state_hash: Digest::ZERO };
        vec![update; len]
    }

    #[test]
    fn a_pack_asks_for_the_gas_of_its_parts() {
        let (first, later) = (updates(50, 0), updates(3, 4));
        let mut rest = candidates(&[part_gas(&first), part_gas(&later)]).into_iter().peekable();
        let pack = next(&mut rest, Room { gas_max: 10_000_000, items_max: 8 }).expect("both fit");
        assert_eq!(pack.gas, TRANSACTION_GAS + 2 * PART_GAS + 50 * FIRST_UPDATE_GAS + 3 * UPDATE_GAS);
        assert_eq!(pack.gas, transaction_gas([first.as_slice(), later.as_slice()].into_iter()));
    }

    #[test]
    fn a_full_transaction_holds_ten_full_parts_or_three_of_new_assets() {
        let room = Room { gas_max: 10_000_000, items_max: 256 };
        assert_eq!(packs(&[part_gas(&updates(50, 7)); 12], room), [10, 2]);
        assert_eq!(packs(&[part_gas(&updates(50, 0)); 7], room), [3, 3, 1]);
    }

    #[test]
    fn what_ran_out_of_gas_goes_alone() {
        let mut rest = candidates(&[10, 10, 10, 10]);
        rest[1].goes_alone = true;
        let (mut rest, room) = (rest.into_iter().peekable(), Room { gas_max: 10_000_000, items_max: 9 });
        let packs: Vec<usize> =
            std::iter::from_fn(|| next(&mut rest, room)).map(|pack| pack.items.len()).collect();
        assert_eq!(packs, [1, 1, 2]);
    }

    #[test]
    fn the_gas_limit_is_the_larger_of_bound_and_estimate_and_doubles_for_what_ran_out_of_it() {
        for (what, bound, estimate, starved, expected) in [
            ("the chain cannot tell", 100, None, 0, 100),
            ("the chain asks for less", 100, Some(60), 0, 100),
            ("the chain charges more than the work", 100, Some(400), 0, 500),
            ("ran out of gas once", 100, None, 1, 200),
            ("twice", 100, Some(400), 2, 2_000),
            ("up to the most", 100, None, 9, 10_000),
            ("which is never less than needed", 20_000, None, 3, 20_000),
            ("however often", 100, None, 70, 10_000),
        ] {
            assert_eq!(gas_limit(bound, estimate, starved, 10_000), expected, "{what}");
        }
    }
}
