//! For every guard a scenario that holds with it. A scenario starts on an empty server and answers an error
//! instead of panicking, so that `controls` can run it with the guard cut out and see it fail.

mod intake;
mod lanes;
mod leading;
pub(crate) mod logging;
mod members;

use std::future::Future;
use std::pin::Pin;

use crate::bed::{Bed, Check};

/// A guard and the scenario that needs it.
pub(crate) struct Guarded {
    pub(crate) script: &'static str,
    pub(crate) guard: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) run: fn(Bed) -> Pin<Box<dyn Future<Output = Check>>>,
}

#[macro_export]
macro_rules! guarded {
    ($($script:literal $guard:literal $scenario:ident;)*) => {
        pub(crate) const GUARDED: &[$crate::directed::Guarded] = &[$($crate::directed::Guarded {
            script: $script,
            guard: $guard,
            scenario: stringify!($scenario),
            run: |bed| Box::pin($scenario(bed)),
        },)*];
    };
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Guarded> {
    [intake::GUARDED, members::GUARDED, leading::GUARDED, logging::GUARDED, lanes::GUARDED]
        .into_iter()
        .flatten()
}
