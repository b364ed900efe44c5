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
    trim_control = "TRIM_CONTROL",
    sender = "SENDER",
    bind = "BIND",
    store = "STORE",
    rebind = "REBIND",
    wait = "WAIT",
    progress = "PROGRESS",
    done = "DONE",
    pause = "PAUSE",
}

static STANDARD: LazyLock<Arc<Scripts>> = LazyLock::new(|| Scripts::edited(|_, source| source.to_owned()));

impl Scripts {
    /// The scripts as they are; built once per process.
    #[must_use]
    pub fn standard() -> Arc<Self> {
        Arc::clone(&STANDARD)
    }
}
