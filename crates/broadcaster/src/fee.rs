//! The EIP-1559 fee of a new transaction and of one that replaces it. All amounts are wei per gas.
//!
//! In: the chain's present base fee, its suggested tip, what was paid so far and the operator's caps. Out: the fee, or which
//! cap is in the way. Source: EIP-1559; the base fee rises by at most an eighth per block, so twice the base fee stays enough
//! for six full blocks. Nodes take a replacement only if both fields rise: by a tenth (geth, erigon, nethermind), an eighth
//! at most. So a tip at its cap could never be replaced, and a first tip takes at most half of it: room for five.

use common::link::ATTEMPTS_MAX;

/// One gwei in wei.
pub(crate) const GWEI: u128 = 1_000_000_000;

/// The operator's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeeCaps {
    /// Most paid per gas in all.
    pub(crate) max_fee: u128,
    /// Most of it paid to the block's proposer.
    pub(crate) max_tip: u128,
}

/// The market as the chain shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Market {
    pub(crate) base_fee: u128,
    pub(crate) tip: u128,
}

/// The two fee fields of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fee {
    pub(crate) max_fee: u128,
    pub(crate) max_tip: u128,
}

/// What may be paid now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Offer {
    Pay(Fee),
    /// Not even the base fee is within the cap: wait.
    AboveCap {
        base_fee: u128,
        cap: u128,
    },
}

/// The fee of a first attempt.
pub(crate) fn first(market: Market, caps: FeeCaps) -> Offer {
    if market.base_fee > caps.max_fee {
        return Offer::AboveCap { base_fee: market.base_fee, cap: caps.max_fee };
    }
    let tip = market.tip.min(caps.max_tip / 2);
    let max_fee = market.base_fee.saturating_mul(2).saturating_add(tip).min(caps.max_fee);
    Offer::Pay(Fee { max_fee, max_tip: tip.min(max_fee) })
}

/// What so much gas costs at the present market, in wei.
pub(crate) fn cost(gas: u64, market: Market, caps: FeeCaps) -> u128 {
    let price = market.base_fee.saturating_add(market.tip.min(caps.max_tip / 2)).min(caps.max_fee);
    price.saturating_mul(gas.into())
}

/// What may be paid for a transaction that has waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Raise {
    Pay(Fee),
    /// Nodes would not take what is still allowed: it stays as it is.
    AtCap(Limit),
}

/// What keeps a fee from rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// [`FeeCaps::max_fee`].
    Fee,
    /// [`FeeCaps::max_tip`].
    Tip,
    /// As many transactions of one nonce as the journal keeps.
    Attempts,
}

/// The fee of the transaction that replaces the last of `attempts` ones, which offers `paid`: each attempt an eighth above the
/// one before, or what the market asks for now if that is more, within the caps.
pub(crate) fn raised(paid: Fee, attempts: u32, market: Market, caps: FeeCaps) -> Raise {
    let least = Fee { max_fee: bumped(paid.max_fee), max_tip: bumped(paid.max_tip) };
    if attempts >= ATTEMPTS_MAX {
        return Raise::AtCap(Limit::Attempts);
    }
    if least.max_fee > caps.max_fee {
        return Raise::AtCap(Limit::Fee);
    }
    if least.max_tip > caps.max_tip {
        return Raise::AtCap(Limit::Tip);
    }
    let tip = market.tip.min(caps.max_tip / 2).max(least.max_tip);
    let asked = market.base_fee.saturating_mul(2).saturating_add(tip);
    let max_fee = asked.max(least.max_fee).min(caps.max_fee);
    Raise::Pay(Fee { max_fee, max_tip: tip.min(max_fee) })
}

/// The least that a node takes instead.
const fn bumped(amount: u128) -> u128 {
    let eighth = amount.div_ceil(8);
    amount.saturating_add(if eighth == 0 { 1 } else { eighth })
}

impl std::fmt::Display for Limit {
    /// In operators' words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fee => "evm.fee_cap_gwei",
            Self::Tip => "evm.tip_cap_gwei",
            Self::Attempts => "the number of attempts",
        })
    }
}

impl std::fmt::Display for Fee {
    /// `<max fee>/<max tip>`, wei per gas: the form kept with a stored transaction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.max_fee, self.max_tip)
    }
}

#[cfg(test)]
mod tests {
    use common::link::ATTEMPTS_MAX;

    use super::{Fee, FeeCaps, GWEI, Limit, Market, Offer, Raise, bumped, cost, first, raised};

    #[test]
    fn a_first_fee_is_twice_the_base_fee_and_the_tip_within_both_caps() {
        let caps = FeeCaps { max_fee: 100 * GWEI, max_tip: 6 * GWEI };
        for (base, tip, expected) in [
            (10, 1, Offer::Pay(Fee { max_fee: 21 * GWEI, max_tip: GWEI })),
            (10, 9, Offer::Pay(Fee { max_fee: 23 * GWEI, max_tip: 3 * GWEI })),
            (60, 1, Offer::Pay(Fee { max_fee: 100 * GWEI, max_tip: GWEI })),
            (100, 1, Offer::Pay(Fee { max_fee: 100 * GWEI, max_tip: GWEI })),
            (101, 1, Offer::AboveCap { base_fee: 101 * GWEI, cap: 100 * GWEI }),
            (0, 0, Offer::Pay(Fee { max_fee: 0, max_tip: 0 })),
        ] {
            assert_eq!(
                first(Market { base_fee: base * GWEI, tip: tip * GWEI }, caps),
                expected,
                "{base} {tip}"
            );
        }
    }

    #[test]
    fn a_tip_is_never_above_the_whole_fee() {
        let caps = FeeCaps { max_fee: 2, max_tip: 10 };
        assert_eq!(first(Market { base_fee: 1, tip: 5 }, caps), Offer::Pay(Fee { max_fee: 2, max_tip: 2 }));
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_or_what_the_market_asks_up_to_the_caps() {
        let caps = FeeCaps { max_fee: 1_000, max_tip: 100 };
        let pay = |max_fee, max_tip| Raise::Pay(Fee { max_fee, max_tip });
        // (what, paid fee, paid tip, attempts, base fee, market's tip) → raise
        for (what, max_fee, max_tip, attempts, base_fee, tip, expected) in [
            ("the market is as it was", 80, 16, 1, 20, 16, pay(90, 18)),
            ("rounded up", 81, 17, 1, 20, 16, pay(92, 20)),
            ("nothing was offered", 0, 0, 1, 0, 0, pay(1, 1)),
            ("the base fee has risen", 80, 16, 1, 300, 16, pay(618, 18)),
            ("the tip has risen", 80, 16, 1, 20, 40, pay(90, 40)),
            ("the market's tip leaves room", 80, 16, 1, 20, 99, pay(90, 50)),
            ("the base fee asks for more than the cap", 80, 16, 1, 600, 16, pay(1_000, 18)),
            ("the base fee itself is above the cap", 80, 16, 1, 5_000, 16, pay(1_000, 18)),
            ("just within the cap", 888, 16, 1, 20, 16, pay(999, 18)),
            ("the fee's cap", 889, 16, 1, 20, 16, Raise::AtCap(Limit::Fee)),
            ("the tip's last step", 400, 88, 1, 20, 16, pay(450, 99)),
            ("the tip's cap", 400, 89, 1, 20, 16, Raise::AtCap(Limit::Tip)),
            ("the journal is full", 80, 16, ATTEMPTS_MAX, 20, 16, Raise::AtCap(Limit::Attempts)),
            ("the journal's last place", 80, 16, ATTEMPTS_MAX - 1, 20, 16, pay(90, 18)),
        ] {
            let (paid, market) = (Fee { max_fee, max_tip }, Market { base_fee, tip });
            assert_eq!(raised(paid, attempts, market, caps), expected, "{what}");
        }
    }

    #[test]
    fn each_replacement_is_one_that_nodes_take_and_the_last_is_within_the_caps() {
        for (base, tip, caps) in [
            (10, 2, FeeCaps { max_fee: 500 * GWEI, max_tip: 5 * GWEI }),
            (400, 9, FeeCaps { max_fee: 500 * GWEI, max_tip: 5 * GWEI }),
            (0, 0, FeeCaps { max_fee: 7, max_tip: 7 }),
            (1, 1, FeeCaps { max_fee: u128::MAX, max_tip: u128::MAX }),
        ] {
            let market = Market { base_fee: base * GWEI, tip: tip * GWEI };
            let Offer::Pay(mut paid) = first(Market { base_fee: base, tip }, caps) else { continue };
            let mut attempts = 1;
            while let Raise::Pay(fee) = raised(paid, attempts, market, caps) {
                assert!(fee.max_fee >= bumped(paid.max_fee) && fee.max_tip >= bumped(paid.max_tip));
                assert!(fee.max_fee * 8 >= paid.max_fee * 9 && fee.max_tip * 8 >= paid.max_tip * 9);
                assert!(fee.max_fee <= caps.max_fee && fee.max_tip <= caps.max_tip.min(fee.max_fee));
                (paid, attempts) = (fee, attempts + 1);
            }
            assert!(attempts > 1 && attempts <= ATTEMPTS_MAX);
        }
    }

    #[test]
    fn gas_costs_base_fee_and_tip_within_the_caps() {
        let caps = FeeCaps { max_fee: 100, max_tip: 6 };
        for (base_fee, tip, expected) in [(10, 2, 84), (10, 9, 91), (99, 3, 700), (5_000, 3, 700)] {
            assert_eq!(cost(7, Market { base_fee, tip }, caps), expected, "{base_fee} {tip}");
        }
        let market = Market { base_fee: u128::MAX, tip: 1 };
        assert_eq!(cost(2, market, FeeCaps { max_fee: u128::MAX, max_tip: 1 }), u128::MAX);
    }

    #[test]
    fn a_first_tip_leaves_room_for_replacements() {
        let caps = FeeCaps { max_fee: 500 * GWEI, max_tip: 5 * GWEI };
        let market = Market { base_fee: 10 * GWEI, tip: 50 * GWEI };
        let Offer::Pay(mut paid) = first(market, caps) else { unreachable!("the base fee is low") };
        let mut attempts = 1;
        while let Raise::Pay(fee) = raised(paid, attempts, market, caps) {
            (paid, attempts) = (fee, attempts + 1);
        }
        assert_eq!(attempts, 6);
    }

    #[test]
    fn the_cap_holds_for_every_market() {
        let caps = FeeCaps { max_fee: 50, max_tip: 7 };
        for base_fee in 0..120 {
            for tip in [0, 1, 7, 8, 1_000, u128::MAX] {
                match first(Market { base_fee, tip }, caps) {
                    Offer::Pay(fee) => {
                        assert!(fee.max_fee <= 50 && fee.max_tip <= 7 && fee.max_fee >= base_fee);
                    }
                    Offer::AboveCap { .. } => assert!(base_fee > 50),
                }
            }
        }
    }
}
