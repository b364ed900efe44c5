//! Why a node did not take a transaction.
//!
//! In: the code and the text of its JSON-RPC error. Out: a [`Refusal`], the one place where they are read. Whether a transaction
//! is with the chain or its nonce used is never concluded from it (that is asked of the chain): it only chooses the
//! word that operators see, and lets a transaction that is refused for its price be replaced sooner.
//!
//! Codes decide where they say something. Besu numbers its refusals (`RpcErrorType`); geth, erigon, reth and nethermind answer
//! `-32000` and anvil `-32003` to everything. For those the texts of geth's transaction pool (`core/txpool/errors.go`,
//! `core/error.go`), which the others have taken over, are searched for.

/// The kinds that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The node holds these very bytes.
    AlreadyKnown,
    /// The chain has used the nonce; by what is found out by receipts.
    NonceTooLow,
    /// It pays less than the node asks of anybody, or of a replacement.
    Underpriced,
    NoFunds,
    Other,
}

/// Besu's `NONCE_TOO_LOW`, `TRANSACTION_UPFRONT_COST_EXCEEDS_BALANCE` and `GAS_PRICE_TOO_LOW`.
const CODES: [(i64, Refusal); 3] =
    [(-32_001, Refusal::NonceTooLow), (-32_004, Refusal::NoFunds), (-32_009, Refusal::Underpriced)];

/// Parts of geth's texts, and two of others' who word the same thing differently, in lower case.
const TEXTS: [(&str, Refusal); 8] = [
    ("already known", Refusal::AlreadyKnown),
    // Anvil, reth.
    ("already imported", Refusal::AlreadyKnown),
    // Besu.
    ("known transaction", Refusal::AlreadyKnown),
    ("nonce too low", Refusal::NonceTooLow),
    // "replacement transaction underpriced", "transaction underpriced".
    ("underpriced", Refusal::Underpriced),
    ("max fee per gas less than block base fee", Refusal::Underpriced),
    // Erigon.
    ("could not replace existing tx", Refusal::Underpriced),
    ("insufficient funds", Refusal::NoFunds),
];

impl Refusal {
    pub(super) fn of(code: i64, message: &str) -> Self {
        let coded = CODES.iter().find(|(known, _)| *known == code);
        let message = message.to_lowercase();
        let worded = || TEXTS.iter().find(|(known, _)| message.contains(known)).map(|(_, refusal)| refusal);
        coded.map(|(_, refusal)| refusal).or_else(worded).copied().unwrap_or(Self::Other)
    }

    /// The word for an operator; `None`: nothing is wrong that tracking does not find.
    pub(super) const fn trouble(self) -> Option<&'static str> {
        match self {
            Self::NonceTooLow => None,
            Self::Underpriced => Some("FEE_REFUSED"),
            Self::AlreadyKnown | Self::NoFunds | Self::Other => Some("SEND_REFUSED"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn a_code_that_says_something_decides_and_else_the_texts_of_geth() {
        for (code, message, expected) in [
            (-32_001, "Nonce too low", Refusal::NonceTooLow),
            (-32_004, "Upfront cost exceeds account balance", Refusal::NoFunds),
            (-32_009, "Gas price below configured minimum gas price", Refusal::Underpriced),
            (-32_009, "nonce too low", Refusal::Underpriced),
            (-32_000, "already known", Refusal::AlreadyKnown),
            (-32_000, "Known transaction", Refusal::AlreadyKnown),
            (-32_003, "transaction already imported", Refusal::AlreadyKnown),
            (-32_000, "nonce too low: next nonce 5, tx nonce 4", Refusal::NonceTooLow),
            (-32_003, "nonce too low", Refusal::NonceTooLow),
            (-32_000, "replacement transaction underpriced", Refusal::Underpriced),
            (-32_000, "transaction underpriced: gas tip cap 1, minimum needed 2", Refusal::Underpriced),
            (-32_000, "INTERNAL_ERROR: could not replace existing tx", Refusal::Underpriced),
            (-32_000, "max fee per gas less than block base fee: address 0x", Refusal::Underpriced),
            (-32_003, "Insufficient funds for gas * price + value", Refusal::NoFunds),
            (-32_000, "txpool is full", Refusal::Other),
            (-32_603, "Internal error", Refusal::Other),
            (0, "", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn only_a_used_nonce_is_no_trouble() {
        let all = [
            Refusal::AlreadyKnown,
            Refusal::NonceTooLow,
            Refusal::Underpriced,
            Refusal::NoFunds,
            Refusal::Other,
        ];
        let words = all.map(Refusal::trouble);
        let refused = Some("SEND_REFUSED");
        assert_eq!(words, [refused, None, Some("FEE_REFUSED"), refused, refused]);
    }
}
