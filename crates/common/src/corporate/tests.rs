use super::{Date, PaymentKind, Rate};
use crate::amount::Amount;

#[test]
fn a_date_is_a_day_of_the_calendar_in_one_spelling() {
    for good in ["2026-03-31", "2024-02-29", "0001-01-01", "9999-12-31"] {
        assert_eq!(good.parse::<Date>().map(|date| date.to_string()).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "2026-3-31",
        "2026-02-29",
        "2026-13-01",
        "2026-00-10",
        "0000-01-01",
        "20260331",
        "2026-03-31T00",
        "2026/03/31",
        "+026-03-31",
        " 026-03-31",
    ] {
        assert!(bad.parse::<Date>().is_err(), "{bad}");
    }
}

#[test]
fn a_rate_is_a_decimal_in_one_spelling() {
    for good in
        ["1", "10", "0.0425", "2.5", "0.000000000000000001", "340282366920938463463374607431768211455"]
    {
        assert_eq!(good.parse::<Rate>().map(|rate| rate.to_string()).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "0",
        "0.0",
        "0.50",
        "1.",
        ".5",
        "01",
        "00.5",
        "-1",
        "+1",
        "1e3",
        "1 ",
        "0.0000000000000000001",
        "1.2.3",
        "340282366920938463463374607431768211456",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

#[test]
fn a_rate_rounds_down_and_says_what_it_cannot_hold() {
    let due = |rate: &str, held: u128| {
        rate.parse::<Rate>().expect("a rate").of(Amount::new(held)).map(Amount::units)
    };
    assert_eq!(due("0.0425", 99), Some(4));
    assert_eq!(due("0.0425", 23), Some(0));
    assert_eq!(due("1.5", 3), Some(4));
    assert_eq!(
        due("0.999999999999999999", u128::MAX),
        Some(340_282_366_920_938_463_123_092_240_510_829_747_991)
    );
    assert_eq!(due("2", u128::MAX), None);
}

#[test]
fn a_kind_of_payment_is_spelled_as_its_change() {
    for kind in [PaymentKind::InterestPayment, PaymentKind::PrincipalRepayment] {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(serde_json::to_string(&kind).ok(), Some(format!("\"{}\"", kind.name())));
    }
    assert!("CLAIM".parse::<PaymentKind>().is_err());
}
