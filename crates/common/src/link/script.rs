//! The table of Lua scripts, loaded on first use by hash (EVALSHA, reloaded when Redis has forgotten it).

use std::sync::{Arc, LazyLock};

use redis::Script;

/// A script with its name in errors and its two crash points.
#[derive(Debug)]
pub(super) struct NamedScript {
    pub(super) name: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) script: Script,
}

macro_rules! scripts {
    ($($field:ident = $name:literal),* $(,)?) => {
        /// All scripts of the link.
        #[derive(Debug)]
        pub struct Scripts {
            $(pub(super) $field: NamedScript,)*
        }

        impl Scripts {
            /// The names and sources of all scripts.
            pub const SOURCES: &[(&str, &str)] = &[
                $((stringify!($field), include_str!(concat!(stringify!($field), ".lua"))),)*
            ];

            /// The scripts as `edit(name, source)` gives them. Services use [`Scripts::standard`]; the
            /// tests cut single guards out to prove that each of them is needed.
            #[must_use]
            pub fn edited(edit: impl Fn(&str, &str) -> String) -> Arc<Self> {
                Arc::new(Self {
                    $($field: NamedScript {
                        name: $name,
                        before: concat!("link.", stringify!($field), ".before"),
                        after: concat!("link.", stringify!($field), ".after"),
                        script: Script::new(&edit(
                            stringify!($field),
                            include_str!(concat!(stringify!($field), ".lua")),
                        )),
                    },)*
                })
            }
        }
    };
}

scripts! {
    init = "INIT",
    barrier = "BARRIER",
    beat = "BEAT",
    submit = "SUBMIT",
    collecting = "COLLECTING",
    collected = "COLLECTED",
    leave = "LEAVE",
    forget = "FORGET",
    send = "SEND",
    lease = "LEASE",
    release = "RELEASE",
    attempt = "ATTEMPT",
    commit = "COMMIT",
    unpark = "UNPARK",
    start = "START",
    relay = "RELAY",
    rewind = "REWIND",
    trim = "TRIM",
    sender = "SENDER",
    bind = "BIND",
    store = "STORE",
    rebind = "REBIND",
    wait = "WAIT",
    progress = "PROGRESS",
    done = "DONE",
    pause = "PAUSE",
}

/// Environment variable of test builds (those with debug assertions) that names guards to leave out, as
/// `<script>:<guard>` separated by commas: what goes wrong then is what the guard is for.
pub const WITHOUT_VARIABLE: &str = "OSS_LINK_WITHOUT";

static STANDARD: LazyLock<Arc<Scripts>> = LazyLock::new(|| {
    let without = if cfg!(debug_assertions) {
        std::env::var(WITHOUT_VARIABLE).unwrap_or_default()
    } else {
        String::new()
    };
    Scripts::without(without.split(',').filter_map(|pair| pair.split_once(':')))
});

impl Scripts {
    /// The scripts without these guards, each named by its script and its own name.
    ///
    /// # Panics
    /// A guard is not marked exactly once in its script: nothing would be left out.
    #[must_use]
    pub fn without<'a>(guards: impl Iterator<Item = (&'a str, &'a str)>) -> Arc<Self> {
        let guards: Vec<_> = guards.collect();
        let known = |script: &str| Self::SOURCES.iter().any(|(name, _)| *name == script);
        assert!(guards.iter().all(|(script, _)| known(script)), "a script is unknown: {guards:?}");
        Self::edited(|name, source| {
            let of_script = guards.iter().filter(|(script, _)| *script == name);
            of_script.fold(source.to_owned(), |source, (_, guard)| cut(&source, guard))
        })
    }

    /// The scripts as they are; built once per process.
    #[must_use]
    pub fn standard() -> Arc<Self> {
        Arc::clone(&STANDARD)
    }
}

/// Cuts out the lines from `-- guard:<name>` to `-- /guard:<name>`.
fn cut(source: &str, guard: &str) -> String {
    let (open, close) = (format!("-- guard:{guard}"), format!("-- /guard:{guard}"));
    let (mut is_inside, mut found) = (false, 0);
    let mut kept = Vec::new();
    for line in source.lines() {
        if line.trim() == open {
            (is_inside, found) = (true, found + 1);
        }
        if !is_inside {
            kept.push(line);
        }
        if line.trim() == close {
            is_inside = false;
        }
    }
    assert!(found == 1 && !is_inside, "guard {guard} is not marked once");
    kept.join("\n")
}
