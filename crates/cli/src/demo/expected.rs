//! What was not as expected, collected so that one fault does not hide the next.

/// The list of faults.
#[derive(Debug, Default)]
pub(super) struct Unexpected(Vec<String>);

impl Unexpected {
    /// Notes a fault unless both are equal.
    pub(super) fn unless_equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        found: &T,
        expected: &T,
    ) {
        if found != expected {
            self.0.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
    }

    pub(super) fn note(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    pub(super) fn into_faults(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Unexpected;

    #[test]
    fn a_difference_is_named_with_both_sides_and_equality_is_not() {
        let mut unexpected = Unexpected::default();
        unexpected.unless_equal("status", &"completed", &"completed");
        unexpected.unless_equal("code", &"A", &"B");
        assert_eq!(unexpected.into_faults(), [r#"code: expected "B", found "A""#]);
    }
}
