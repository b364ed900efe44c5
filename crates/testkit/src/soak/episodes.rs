//! Two episodes of too much: the backlog at its bound, Redis' memory full. Refused, drained, recovered.

use std::fmt;
use std::time::{Duration, Instant};

use common::ids::Shard;
use common::keys::Keys;
use redis::Value;

use super::{DRAINED_WITHIN, Load, SENDERS, memory};
use crate::checker;
use crate::load::{Acknowledged, Planned};
use crate::run::RunError;
use crate::stack::{Role, Service, Stack};

const VALIDATOR: Service = Service { role: Role::Validator, index: 0 };
/// Requests that wait when the memory becomes full.
const WAITING: usize = 200;
/// Requests sent at the same time.
const AT_ONCE: usize = 50;

/// The backlog was full.
#[derive(Debug)]
pub struct Backlog {
    pub bound: usize,
    /// Accepted before the first was refused.
    pub accepted: usize,
    /// The longest `:in` and `:requests` of a shard.
    pub longest: usize,
    pub refused: usize,
    pub drained_in: Duration,
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, accepted, longest, refused, drained_in } = self;
        let seconds = drained_in.as_secs_f64();
        write!(
            f,
            "full backlog: bound {bound}, {accepted} accepted, longest {longest}, {refused} refused with 503; drained and all accepted {seconds:.1} s after the validator came back"
        )
    }
}

/// Redis' memory was full.
#[derive(Debug)]
pub struct Memory {
    pub waiting: usize,
    pub refused: usize,
    /// Until all that waited was decided while the memory was still full.
    pub decided_in: Duration,
    /// Until what was refused was accepted after there was room again.
    pub accepted_in: Duration,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waiting, refused, decided_in, accepted_in } = self;
        let (decided, accepted) = (decided_in.as_secs_f64(), accepted_in.as_secs_f64());
        write!(
            f,
            "full memory: {refused} refused with 503; the {waiting} that waited were decided in {decided:.1} s while it was full; refused ones accepted {accepted:.1} s after there was room"
        )
    }
}

/// What came of requests that were sent once.
#[derive(Debug, Default)]
struct Tried {
    accepted: Vec<Acknowledged>,
    refused: Vec<Planned>,
}

impl Load {
    /// Sends so many new requests once.
    async fn try_once(&mut self, stack: &Stack, count: usize) -> Result<Tried, RunError> {
        let requests: Vec<Planned> = (0..count).map(|_| self.generator.request()).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for planned in requests {
            let api = stack.api();
            tasks.spawn(async move { (api.submit(&planned.key, &planned.body, None).await, planned) });
        }
        let mut tried = Tried::default();
        while let Some(done) = tasks.join_next().await {
            let (answer, planned) = done?;
            let answer = answer?;
            match answer.status {
                200..300 => tried.accepted.push(Acknowledged::once(&planned)),
                503 if answer.text("/code") == "backpressure" && !answer.header("retry-after").is_empty() => {
                    tried.refused.push(planned);
                }
                status => {
                    let text = format!("a request was answered {status}: {}", answer.body);
                    return Err(RunError::Failed(text));
                }
            }
        }
        Ok(tried)
    }

    async fn send_refused(&mut self, refused: Vec<Planned>) -> Result<(), RunError> {
        let acknowledged = self.client.send_all(refused, SENDERS).await?;
        self.note(acknowledged);
        Ok(())
    }
}

fn longest(stack: &Stack) -> Result<usize, RunError> {
    let mut longest = 0;
    for shard in Shard::ALL {
        let keys = Keys::new(shard);
        let mut waiting = 0;
        for key in [keys.input(), keys.requests()] {
            let Value::Int(length) = stack.redis().command(&["XLEN", &key])? else {
                return Err(RunError::Broken("XLEN is no number"));
            };
            waiting += usize::try_from(length).unwrap_or(0);
        }
        longest = longest.max(waiting);
    }
    Ok(longest)
}

/// Nobody decides until requests are refused; then somebody does.
pub(super) async fn full_backlog(
    stack: &mut Stack,
    load: &mut Load,
    bound: usize,
) -> Result<Backlog, RunError> {
    stack.kill(VALIDATOR)?;
    let (mut accepted, mut refused) = (0, Vec::new());
    while refused.is_empty() {
        if accepted > 8 * bound {
            return Err(RunError::Failed(format!("{accepted} requests were accepted and none refused")));
        }
        let tried = load.try_once(stack, AT_ONCE).await?;
        accepted += tried.accepted.len();
        load.note(tried.accepted);
        refused.extend(tried.refused);
    }
    let longest = longest(stack)?;
    if longest > bound {
        return Err(RunError::Failed(format!("{longest} requests of a shard wait, the bound is {bound}")));
    }
    let count = refused.len();
    let began = Instant::now();
    stack.launch(VALIDATOR)?;
    load.send_refused(refused).await?;
    stack.wait_ready().await?;
    checker::drained(&stack.api(), &load.asked, DRAINED_WITHIN).await?;
    Ok(Backlog { bound, accepted, longest, refused: count, drained_in: began.elapsed() })
}

/// Redis has no room while requests wait: they are decided all the same, and others are refused until there is room.
pub(super) async fn full_memory(stack: &mut Stack, load: &mut Load) -> Result<Memory, RunError> {
    stack.freeze(VALIDATOR)?;
    let tried = load.try_once(stack, WAITING).await?;
    let waiting = tried.accepted.clone();
    load.note(tried.accepted);
    let mut refused = tried.refused;
    fill(stack)?;
    refused.extend(all_refused(stack, load).await?);
    let began = Instant::now();
    stack.thaw(VALIDATOR)?;
    checker::drained(&stack.api(), &waiting, DRAINED_WITHIN).await?;
    let decided_in = began.elapsed();
    // Deciding frees memory and takes some: full again, whatever came of it.
    fill(stack)?;
    refused.extend(all_refused(stack, load).await?);
    stack.redis().config_set("maxmemory", "0")?;
    let (began, count) = (Instant::now(), refused.len());
    load.send_refused(refused).await?;
    Ok(Memory { waiting: waiting.len(), refused: count, decided_in, accepted_in: began.elapsed() })
}

/// The limit goes below what is used by more than what comes and goes with connections.
fn fill(stack: &Stack) -> Result<(), RunError> {
    let used = memory::info(stack, "memory", "used_memory:")?;
    Ok(stack.redis().config_set("maxmemory", &(used - used / 10).to_string())?)
}

async fn all_refused(stack: &Stack, load: &mut Load) -> Result<Vec<Planned>, RunError> {
    let tried = load.try_once(stack, AT_ONCE).await?;
    let accepted = tried.accepted.len();
    load.note(tried.accepted);
    if accepted > 0 {
        return Err(RunError::Failed(format!("{accepted} requests were accepted without memory for them")));
    }
    Ok(tried.refused)
}
