use super::{Amount, product};

fn divided(a: u128, b: u128, by: u128) -> Option<u128> {
    Amount::new(a).mul_div(Amount::new(b), Amount::new(by)).map(Amount::units)
}

#[test]
fn a_part_is_exact_however_large_the_product_is() {
    assert_eq!(divided(7, 10, 3), Some(23));
    assert_eq!(divided(u128::MAX, u128::MAX, u128::MAX), Some(u128::MAX));
    assert_eq!(divided(u128::MAX, 3, 4), Some(u128::MAX / 4 * 3 + 2));
    assert_eq!(divided(u128::MAX, u128::MAX - 1, u128::MAX), Some(u128::MAX - 1));
    assert_eq!(divided(u128::MAX, 2, 1), None);
    assert_eq!(divided(1, 1, 0), None);
    assert_eq!(divided(u128::MAX, 2, 0), None);
}

#[test]
fn a_part_is_the_greatest_number_whose_product_is_not_above() {
    let mut random = 1_u128;
    let mut next = || {
        random = random.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
        // All sizes come up.
        random >> (random % 97)
    };
    for _ in 0..20_000 {
        let (a, b, by) = (next(), next(), next().max(1));
        let whole = product(a, b);
        match divided(a, b, by) {
            Some(quotient) => {
                assert!(product(quotient, by) <= whole, "{a} {b} {by}");
                if let Some(more) = quotient.checked_add(1) {
                    assert!(product(more, by) > whole, "{a} {b} {by}");
                }
            }
            None => assert!(whole >= product(u128::MAX, by), "{a} {b} {by}"),
        }
    }
}
