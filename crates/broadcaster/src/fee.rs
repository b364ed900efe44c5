//! The EIP-1559 fee of a new transaction. All amounts are wei per gas.
//!
//! In: the chain's present base fee, its suggested tip and the operator's caps. Out: the fee, or that the
//! base fee is above the cap and nothing should be signed now. Source: EIP-1559; the base fee rises by at
//! most an eighth per block, so twice the base fee stays enough for six full blocks.

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
    let tip = market.tip.min(caps.max_tip);
    let max_fee = market.base_fee.saturating_mul(2).saturating_add(tip).min(caps.max_fee);
    Offer::Pay(Fee { max_fee, max_tip: tip.min(max_fee) })
}

impl std::fmt::Display for Fee {
    /// `<max fee>/<max tip>`, wei per gas: the form kept with a stored transaction.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.max_fee, self.max_tip)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fee, FeeCaps, GWEI, Market, Offer, first};

    #[test]
    fn a_first_fee_is_twice_the_base_fee_and_the_tip_within_both_caps() {
        let caps = FeeCaps { max_fee: 100 * GWEI, max_tip: 3 * GWEI };
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
