//! A real event of a token on the source chain backs one mint, ever.

use std::time::Duration;

use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, Token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_backs_one_mint_of_its_amount_and_no_other_one() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], tier: "latest", ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let (token, api) = (Token::of(&stack), stack.api());
    let events = token.emit(stack.source_chain().expect("a source chain"), &[500]).await;
    let event = events[0].as_str();
    let cases = [
        (token.register(&["base".to_owned()]), "completed", ""),
        (token.mint("more", 501, event), "rejected", "EVENT_MISMATCH"),
        (token.mint("mint", 500, event), "completed", ""),
        (token.mint("again", 500, event), "rejected", "EVENT_ALREADY_USED"),
        (token.mint("none", 500, &format!("0x{}/0", "cd".repeat(32))), "failed", "EVENT_NOT_FOUND"),
    ];
    for (request, status, code) in &cases {
        let answer = scene::complete(&api, &request.key, &request.body).await;
        assert_eq!((answer.text("/status"), answer.text("/code")), (*status, *code), "{}", answer.body);
    }
    let sent: Vec<_> = cases.into_iter().map(|(request, ..)| request).collect();
    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied, summary.landed), (2, 3, 2));
    eprintln!("events: 1 event, 4 mints, 1 applied; {summary:?}");
}
