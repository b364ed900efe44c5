//! A figure beside the design's target for it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ui;

/// One line of DESIGN §13.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    /// First and later bound.
    pub(super) first: f64,
    pub(super) later: Option<f64>,
    /// Whether smaller is better.
    pub(super) at_most: bool,
}

impl Figure {
    pub(super) const fn at_most(name: &'static str, value: f64, first: f64) -> Self {
        Self { name, value, first, later: None, at_most: true }
    }

    pub(super) fn meets(&self, bound: f64) -> bool {
        if self.at_most { self.value <= bound } else { self.value >= bound }
    }
}

/// All of them as a table.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table = ui::table(["figure", "value", "target", "met"]);
    for figure in figures {
        let sign = if figure.at_most { "at most" } else { "at least" };
        let mut target = format!("{sign} {}", figure.first);
        let mut met = if figure.meets(figure.first) { "yes" } else { "NO" }.to_owned();
        if let Some(later) = figure.later {
            let _infallible = write!(target, ", then {later}");
            met.push_str(if figure.meets(later) { ", yes" } else { ", not yet" });
        }
        table.add_row([figure.name.to_owned(), format!("{:.2}", figure.value), target, met]);
    }
    table.to_string()
}

/// Of sorted values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_missed_below_a_floor_and_above_a_cap() {
        let floor = Figure { name: "f", value: 0.44, first: 0.45, later: None, at_most: false };
        let cap = Figure::at_most("c", 3.1, 3.0);
        assert!(!floor.meets(0.45) && floor.meets(0.44));
        assert!(!cap.meets(3.0) && cap.meets(3.1));
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        assert_eq!([median(&[]), median(&[1.0]), median(&[1.0, 2.0])], [None, Some(1.0), Some(1.5)]);
    }
}
