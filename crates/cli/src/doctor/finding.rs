//! One check's result.

use serde::Serialize;

/// The worst of all is the installation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// Works, and somebody should look at it; or it could not be checked.
    Warn,
    /// Does not work, or loses what it should keep.
    Fail,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) evidence: String,
    /// What to do; empty if nothing.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn ok(check: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, evidence: evidence.into(), advice: String::new() }
    }

    pub(crate) fn warn(
        check: impl Into<String>,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warn, advice: advice.into(), ..Self::ok(check, evidence) }
    }

    pub(crate) fn fail(
        check: impl Into<String>,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, evidence, advice) }
    }

    /// `Ok` if it holds, else a failure with advice.
    pub(crate) fn of(
        holds: bool,
        check: impl Into<String>,
        evidence: impl Into<String>,
        advice: &str,
    ) -> Self {
        if holds { Self::ok(check, evidence) } else { Self::fail(check, evidence, advice) }
    }
}

/// The verdict on a check, for tests.
#[cfg(test)]
pub(crate) fn verdict_on(findings: &[Finding], check: &str) -> Verdict {
    let found: Vec<_> = findings.iter().filter(|finding| finding.check == check).collect();
    assert_eq!(found.len(), 1, "{check} in {findings:?}");
    found.first().map_or(Verdict::Fail, |finding| finding.verdict)
}

/// A check, its verdict, and what makes one thing wrong for it to find; for tests.
#[cfg(test)]
pub(crate) type Broken<'a, F> = (&'a str, Verdict, fn(&mut F));

/// Sound facts with one thing made wrong have one finding that is not ok, that of the check named beside it; for tests.
#[cfg(test)]
pub(crate) fn assert_each_is_found<F>(
    sound: impl Fn() -> F,
    judge: impl Fn(F) -> Vec<Finding>,
    faults: &[Broken<'_, F>],
) {
    let of_sound = judge(sound());
    assert!(of_sound.iter().all(|finding| finding.verdict == Verdict::Ok), "{of_sound:?}");
    for (check, verdict, fault) in faults {
        let mut facts = sound();
        fault(&mut facts);
        let findings = judge(facts);
        assert_eq!(verdict_on(&findings, check), *verdict, "{findings:?}");
        let others = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).count();
        assert_eq!(others, 1, "{findings:?}");
    }
}
