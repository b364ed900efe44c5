//! Headers in batches, against a stand-in with bounds of its own.

use std::sync::{Arc, Mutex};

use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;

/// How the stand-in treats a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers,
    /// One error instead of the answers.
    Refuses,
    /// 413.
    TooLarge,
    /// Answers beyond its bound are errors.
    Breaks,
    /// Answers beyond its bound are left out.
    Forgets,
    /// All at once is too long.
    Floods,
    /// 429.
    Rates,
}

/// A node that answers `max` calls in one HTTP request; has the blocks below 100.
#[derive(Clone)]
struct Bounded(Arc<Mutex<(Manner, usize, Vec<usize>)>>);

impl Respond for Bounded {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let (manner, max, sizes) = &mut *self.0.lock().unwrap();
        let calls = match request.body_json().expect("JSON-RPC") {
            Value::Array(calls) => calls,
            call => {
                sizes.push(1);
                return ResponseTemplate::new(200).set_body_json(answer(&call));
            }
        };
        sizes.push(calls.len());
        let error =
            |id: &Value| json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32005, "message": "no"}});
        // The last one first: a batch has no order.
        let mut answers: Vec<_> = calls.iter().map(answer).collect();
        if calls.len() > *max {
            match manner {
                Manner::Answers => {}
                Manner::Refuses => return ResponseTemplate::new(200).set_body_json(error(&Value::Null)),
                Manner::TooLarge => return ResponseTemplate::new(413),
                Manner::Rates => return ResponseTemplate::new(429),
                Manner::Floods => {
                    return ResponseTemplate::new(200).set_body_bytes(vec![b' '; ANSWER_BYTES_MAX + 1]);
                }
                Manner::Forgets => answers.truncate(*max),
                Manner::Breaks => {
                    answers.iter_mut().skip(*max).for_each(|answer| *answer = error(&answer["id"]));
                }
            }
        }
        answers.reverse();
        ResponseTemplate::new(200).set_body_json(answers)
    }
}

fn answer(call: &Value) -> Value {
    let number = call["params"][0].as_str().expect("a number");
    let Quantity(height) = number.to_owned().try_into().expect("a quantity");
    let block =
        json!({"number": number, "hash": Digest::of(&[&height.to_be_bytes()]), "parentHash": Digest::ZERO});
    json!({"jsonrpc": "2.0", "id": call["id"], "result": if height < 100 { block } else { Value::Null }})
}

async fn bounded(manner: Manner, max: usize) -> (Bounded, Node, MockServer) {
    let bounded = Bounded(Arc::new(Mutex::new((manner, max, Vec::new()))));
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(bounded.clone()).mount(&server).await;
    let node = Node::new(&server.uri(), 1, reqwest::Client::new()).expect("a node");
    (bounded, node, server)
}

/// Which of the headers are there, by number.
fn heights(headers: &[Option<Header>]) -> Vec<Option<u64>> {
    headers.iter().map(|header| header.map(|header| header.number.0)).collect()
}

#[actix::test]
async fn headers_come_in_batches_and_in_the_order_they_were_asked_for() {
    let (bounded, node, _server) = bounded(Manner::Answers, BATCH_MAX).await;
    let numbers: Vec<u64> = (30..130).rev().collect();
    let headers = node.headers(&numbers).await.expect("headers");
    assert_eq!(
        heights(&headers),
        numbers.iter().map(|number| Some(*number).filter(|n| *n < 100)).collect::<Vec<_>>()
    );
    assert_eq!(bounded.0.lock().unwrap().2, [50, 50]);
    assert_eq!(node.headers(&[]).await.expect("nothing").len(), 0);
    assert_eq!(heights(&node.headers(&[7]).await.expect("a header")), [Some(7)]);
    assert_eq!(bounded.0.lock().unwrap().2, [50, 50, 1]);
}

#[actix::test]
async fn a_batch_that_a_node_refuses_is_halved_until_it_answers() {
    for manner in [Manner::Refuses, Manner::TooLarge, Manner::Breaks, Manner::Forgets, Manner::Floods] {
        let (bounded, node, _server) = bounded(manner, 12).await;
        let numbers: Vec<u64> = (0..60).collect();
        let headers = node.headers(&numbers).await.expect("headers");
        assert_eq!(heights(&headers), numbers.iter().copied().map(Some).collect::<Vec<_>>(), "{manner:?}");
        // It grows again by one, up to the node's bound.
        assert_eq!(bounded.0.lock().unwrap().2, [50, 25, 12, 13, 6, 7, 8, 9, 10, 8], "{manner:?}");
    }
    // Single calls are left to a node that takes no batches.
    let (bounded, node, _server) = bounded(Manner::Refuses, 1).await;
    assert_eq!(node.headers(&[1, 2, 3]).await.expect("headers").len(), 3);
    assert_eq!(bounded.0.lock().unwrap().2, [3, 1, 2, 1, 1]);
}

#[actix::test]
async fn a_node_that_asks_to_be_left_alone_is_not_asked_again_at_once() {
    let (bounded, node, _server) = bounded(Manner::Rates, 30).await;
    let numbers: Vec<u64> = (0..50).collect();
    assert!(node.headers(&numbers).await.expect_err("429").is_transient());
    assert_eq!(bounded.0.lock().unwrap().2, [50]);
    assert_eq!(node.headers(&numbers).await.expect("headers").len(), 50);
    assert_eq!(bounded.0.lock().unwrap().2, [50, 25, 25]);
}
