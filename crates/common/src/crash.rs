//! Crash points: named places at which a test can make the process die.
//!
//! `OSS_CRASH_POINT=name[:n]` aborts the process the `n`-th time (first if left out) it passes the point
//! `name`; nothing is flushed, no destructor runs, as after `kill -9`. `OSS_CRASH_POINT=name:n:panic` panics there
//! instead, and `name:n:stop` stops the process (SIGSTOP) until somebody lets it go on. Without the variable a pass costs one load. Every link script has two points of its own, `link.<script>.before` and
//! `link.<script>.after`: the second one lies between the effect in Redis and the caller's knowledge of it.
//! `OSS_CRASH_OVER=text` aborts the process whenever it takes up a message that contains the text: a poison message.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Environment variable that arms one crash point.
pub const VARIABLE: &str = "OSS_CRASH_POINT";

/// Environment variable that names what a poison message contains.
pub const POISON_VARIABLE: &str = "OSS_CRASH_OVER";

#[derive(Debug)]
struct Armed {
    name: String,
    passes_left: AtomicU64,
    end: End,
}

/// What happens at an armed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Abort,
    Panic,
    Stop,
}

/// Longer than a signal takes to reach every thread: nothing may happen between a stop's signal and its effect.
const STOPS_WITHIN: Duration = Duration::from_millis(500);

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Marks a place where a test can end the process. The argument is the point's name.
#[macro_export]
macro_rules! crash_point {
    ($name:expr) => {
        $crate::crash::pass($name)
    };
}

/// What [`crash_point!`](crate::crash_point) does: aborts when this is the armed pass of the armed point.
pub fn pass(name: &str) {
    let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Armed::parse(&text)));
    if let Some(armed) = armed
        && armed.is_hit(name)
    {
        armed.strike();
    }
}

/// Aborts when one of the messages is poison. Without the variable a call costs one load.
pub fn over<'a>(messages: impl IntoIterator<Item = &'a [u8]>) {
    static POISON: OnceLock<Option<String>> = OnceLock::new();
    if let Some(poison) = POISON.get_or_init(|| std::env::var(POISON_VARIABLE).ok())
        && messages.into_iter().any(|message| contains(message, poison.as_bytes()))
    {
        std::process::abort();
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

impl Armed {
    /// A count that is no number belongs to the name, so that a mistyped variable arms nothing by chance.
    fn parse(text: &str) -> Self {
        let ends = [(":panic", End::Panic), (":stop", End::Stop)];
        let found = ends.iter().find_map(|(word, end)| Some((text.strip_suffix(word)?, *end)));
        let (text, end) = found.unwrap_or((text, End::Abort));
        let (name, passes) = match text.rsplit_once(':') {
            Some((name, count)) => count.parse().map_or((text, 1), |passes| (name, passes)),
            None => (text, 1),
        };
        Self { name: name.to_owned(), passes_left: AtomicU64::new(passes), end }
    }

    fn strike(&self) {
        match self.end {
            End::Abort => std::process::abort(),
            #[expect(clippy::panic, reason = "it was asked for")]
            End::Panic => panic!("crash point {}", self.name),
            End::Stop => {
                let stopped = Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
                assert!(stopped.is_ok_and(|status| status.success()), "crash point {}", self.name);
                std::thread::sleep(STOPS_WITHIN);
            }
        }
    }

    fn is_hit(&self, name: &str) -> bool {
        self.name == name && self.passes_left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Armed, End, contains};

    #[test]
    fn a_message_is_poison_only_if_it_contains_the_text() {
        assert!(contains(br#"{"to":"acct:poison"}"#, b"acct:poison"));
        assert!(!contains(br#"{"to":"acct:alice"}"#, b"acct:poison"));
        assert!(!contains(b"anything", b"") && !contains(b"", b"x"));
    }

    #[test]
    fn a_point_without_a_count_hits_at_the_first_pass_and_only_there() {
        let armed = Armed::parse("link.commit.after");
        let hits: Vec<bool> = (0..3).map(|_| armed.is_hit("link.commit.after")).collect();
        assert_eq!(hits, [true, false, false]);
    }

    #[test]
    fn a_point_panics_or_stops_only_if_that_is_asked_for() {
        let armed = Armed::parse("validator.before_relay:2:panic");
        assert!(armed.end == End::Panic && !armed.is_hit("validator.before_relay"));
        assert!(armed.is_hit("validator.before_relay"));
        assert!(std::panic::catch_unwind(|| armed.strike()).is_err());
        assert_eq!(Armed::parse("validator.before_relay:2").end, End::Abort);
        assert_eq!(Armed::parse("validator.before_relay:2:stop").end, End::Stop);
    }

    #[test]
    fn a_count_waits_for_that_pass_of_that_name() {
        let armed = Armed::parse("link.commit.after:2");
        assert!(!armed.is_hit("link.commit.before"));
        assert!(!armed.is_hit("link.commit.after"));
        assert!(armed.is_hit("link.commit.after"));
    }
}
