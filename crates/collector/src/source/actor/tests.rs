use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::observation::Observation;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::sync::oneshot;

use super::super::catalog::Catalog;
use super::super::{Ask, Source, SourceFault};
use super::{Answer, Question, SourceActor, attempts, pause};

/// A source that does what it is told, in order; the last instruction stays.
#[derive(Default)]
struct Scripted {
    answers: RefCell<Vec<Answer>>,
    calls: Cell<usize>,
    at_once: Cell<usize>,
    most_at_once: Cell<usize>,
    panics: bool,
    delay: Duration,
}

impl Source for Scripted {
    fn observe<'a>(&'a self, _: &'a Ask) -> LocalBoxFuture<'a, Answer> {
        Box::pin(async move {
            self.calls.set(self.calls.get() + 1);
            self.at_once.set(self.at_once.get() + 1);
            self.most_at_once.set(self.most_at_once.get().max(self.at_once.get()));
            tokio::time::sleep(self.delay).await;
            self.at_once.set(self.at_once.get() - 1);
            assert!(!self.panics, "told to");
            let mut answers = self.answers.borrow_mut();
            if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers.first().cloned().unwrap_or(Ok(Vec::new()))
            }
        })
    }
}

fn ask(patience: Duration) -> Ask {
    Ask { events: Vec::new(), deadline: Instant::now() + patience }
}

/// An actor over `source`; after a restart it is a `null` source, as its entry says.
fn actor(source: Rc<Scripted>, in_flight_max: usize) -> SourceActor {
    let file =
        format!(r#"{{"sources": [{{"name": "s", "kind": "null", "in_flight_max": {in_flight_max}}}]}}"#);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sources.json");
    std::fs::write(&path, file).unwrap();
    let (name, entry) = Catalog::load(&path).unwrap().entries.pop_first().unwrap();
    let mut actor = SourceActor::new(name, entry).unwrap();
    actor.source = source;
    actor
}

async fn put(actor: &actix::Addr<SourceActor>, patience: Duration) -> Answer {
    let (reply, answer) = oneshot::channel();
    actor.try_send(Question { ask: ask(patience), reply }).expect("room in the mailbox");
    answer.await.expect("an answer")
}

#[actix::test]
async fn a_transient_fault_is_tried_again_and_a_final_one_is_not() {
    let source = Scripted::default();
    *source.answers.borrow_mut() =
        vec![Err(SourceFault::unavailable("1")), Err(SourceFault::unavailable("2")), Ok(Vec::new())];
    assert_eq!(attempts(&source, &ask(Duration::from_secs(20))).await, Ok(Vec::<Observation>::new()));
    assert_eq!(source.calls.get(), 3);

    let source = Scripted::default();
    *source.answers.borrow_mut() = vec![Err(SourceFault::invalid("no"))];
    assert_eq!(attempts(&source, &ask(Duration::from_secs(20))).await, Err(SourceFault::invalid("no")));
    assert_eq!(source.calls.get(), 1);
}

#[actix::test]
async fn at_the_deadline_the_last_fault_is_the_answer() {
    let source = Scripted::default();
    *source.answers.borrow_mut() = vec![Err(SourceFault::unavailable("down"))];
    let begun = Instant::now();
    let answer = attempts(&source, &ask(Duration::from_millis(300))).await;
    assert_eq!(answer, Err(SourceFault::unavailable("down")));
    assert!(begun.elapsed() < Duration::from_secs(2));

    let hanging = Scripted { delay: Duration::from_hours(1), ..Scripted::default() };
    let answer = attempts(&hanging, &ask(Duration::from_millis(50))).await;
    assert_eq!(answer, Err(SourceFault::unavailable("no answer before the deadline")));
}

#[actix::test]
async fn a_source_that_asks_for_an_endless_pause_fails_its_ask_and_nothing_else() {
    let source = Scripted::default();
    let endless = Duration::from_secs(u64::MAX);
    let busy = SourceFault::Unavailable { detail: String::new(), retry_after: Some(endless) };
    *source.answers.borrow_mut() = vec![Err(busy.clone())];
    assert_eq!(attempts(&source, &ask(Duration::from_secs(20))).await, Err(busy));
    assert_eq!(source.calls.get(), 1);
}

#[actix::test]
async fn no_more_asks_than_allowed_are_at_the_source_at_once() {
    let source = Rc::new(Scripted { delay: Duration::from_millis(5), ..Scripted::default() });
    let actor = actor(Rc::clone(&source), 3).supervised();
    let answers = join_all((0..20).map(|_| put(&actor, Duration::from_secs(30)))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((source.calls.get(), source.most_at_once.get()), (20, 3));
}

#[actix::test]
async fn a_source_that_panics_costs_its_ask_and_is_built_anew() {
    let source = Rc::new(Scripted { panics: true, ..Scripted::default() });
    let actor = actor(Rc::clone(&source), 1).supervised();
    let crashed = put(&actor, Duration::from_secs(5)).await;
    assert_eq!(crashed, Err(SourceFault::unavailable("the source crashed")));
    let healed = put(&actor, Duration::from_secs(5)).await.expect("the new source answers");
    assert_eq!((healed.len(), source.calls.get()), (1, 1));
}

#[actix::test]
async fn an_ask_nobody_waits_for_gives_its_place_back() {
    let source = Rc::new(Scripted { delay: Duration::from_millis(200), ..Scripted::default() });
    let actor = actor(Rc::clone(&source), 1).supervised();
    let (reply, answer) = oneshot::channel();
    let forever = Ask { events: Vec::new(), deadline: Instant::now() + Duration::from_hours(1) };
    actor.try_send(Question { ask: forever, reply }).expect("room");
    drop(answer);
    let begun = Instant::now();
    assert!(put(&actor, Duration::from_secs(30)).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn pauses_grow_are_jittered_bounded_and_respect_retry_after() {
    let fault = SourceFault::unavailable("x");
    assert_eq!(pause(0, &fault, 1.0), Duration::from_millis(100));
    assert_eq!(pause(0, &fault, 0.0), Duration::from_millis(50));
    assert_eq!(pause(3, &fault, 1.0), Duration::from_millis(800));
    assert_eq!(pause(40, &fault, 1.0), Duration::from_secs(2));
    let busy = SourceFault::Unavailable { detail: String::new(), retry_after: Some(Duration::from_secs(9)) };
    assert_eq!(pause(0, &busy, 0.5), Duration::from_secs(9));
}
