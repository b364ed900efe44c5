//! The demo's real facts, each with its source. Nothing here is invented; nothing is fetched.

/// A US Treasury note as its issuer publishes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    /// ISO 6166: `US`, the CUSIP, a check digit.
    pub(crate) isin: &'static str,
    pub(crate) cusip: &'static str,
    /// Per cent a year.
    pub(crate) coupon: &'static str,
    pub(crate) dated_date: &'static str,
    pub(crate) maturity_date: &'static str,
    pub(crate) term: &'static str,
    pub(crate) frequency: &'static str,
}

/// The 10-year Treasury note of November 2024, "T 4 1/4 11/15/34".
///
/// Source: TreasuryDirect, auctioned securities (`TA_WS/securities`), record of CUSIP 91282CLW9: securityType
/// Note, securityTerm 10-Year, interestRate 4.250000, issueDate and datedDate 2024-11-15, maturityDate
/// 2034-11-15, interestPaymentFrequency Semi-Annual; reopened 2024-12-16 and 2025-01-15. The check digits of CUSIP
/// and ISIN are recomputed in the tests.
pub(crate) const NOTE: Note = Note {
    isin: "US91282CLW90",
    cusip: "91282CLW9",
    coupon: "4.250",
    dated_date: "2024-11-15",
    maturity_date: "2034-11-15",
    term: "10-Year",
    frequency: "Semi-Annual",
};

/// Decimals of the token: one unit is a cent of face value.
pub(crate) const DECIMALS: u8 = 2;
pub(crate) const TOKEN_NAME: &str = "T 4 1/4 11/15/34";
pub(crate) const TOKEN_SYMBOL: &str = "UST34";

/// A published reference rate of one day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) name: &'static str,
    pub(crate) tenor: &'static str,
    /// Per cent, as published.
    pub(crate) value: &'static str,
    pub(crate) date: &'static str,
    pub(crate) publisher: &'static str,
}

/// The yield that the note's maturity class is measured against.
///
/// Source: US Department of the Treasury, Daily Treasury Par Yield Curve Rates, row 08/05/2026, column
/// "10 Yr": 4.63 (`BC_10YEAR` of the XML feed for NEW_DATE 2026-08-05).
pub(crate) const RATE: Rate = Rate {
    name: "Daily Treasury Par Yield Curve Rate",
    tenor: "10 Yr",
    value: "4.63",
    date: "2026-08-05",
    publisher: "US Department of the Treasury",
};

/// The asset id: the class decides the shard, the name is the ISIN.
pub(crate) fn asset_id() -> String {
    format!("bond:{}", NOTE.isin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(character: u8) -> u32 {
        char::from(character).to_digit(36).expect("a digit or capital letter")
    }

    /// Luhn over the digits of the letters' values, as ISO 6166 has it.
    fn isin_digit(body: &str) -> u32 {
        let digits: Vec<u32> = body
            .bytes()
            .map(value)
            .flat_map(|value| if value > 9 { vec![value / 10, value % 10] } else { vec![value] })
            .collect();
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(index, digit)| if index % 2 == 0 { digit * 2 } else { *digit })
            .map(|product| product / 10 + product % 10)
            .sum();
        (10 - sum % 10) % 10
    }

    /// ANSI X9.6: every second value doubled.
    fn cusip_digit(body: &str) -> u32 {
        let sum: u32 = body
            .bytes()
            .map(value)
            .enumerate()
            .map(|(index, value)| if index % 2 == 1 { value * 2 } else { value })
            .map(|product| product / 10 + product % 10)
            .sum();
        (10 - sum % 10) % 10
    }

    #[test]
    fn the_identifiers_have_their_check_digits() {
        let (body, digit) = NOTE.cusip.split_at(8);
        assert_eq!(cusip_digit(body).to_string(), digit);
        let (body, digit) = NOTE.isin.split_at(11);
        assert_eq!(isin_digit(body).to_string(), digit);
        assert_eq!(body, format!("US{}", NOTE.cusip));
        // A wrong identifier is seen.
        assert_ne!(cusip_digit("91282CLV").to_string(), "9");
        assert_ne!(isin_digit("US91282CLV9").to_string(), "0");
    }

    #[test]
    fn the_asset_belongs_to_the_financial_shard() {
        let id: common::ids::AssetId = asset_id().parse().expect("an asset id");
        assert_eq!(id.shard(), common::ids::Shard::Financial);
    }
}
