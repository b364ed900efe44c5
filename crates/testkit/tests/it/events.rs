//! A real event of a token on the source chain backs one mint, ever.

use std::time::{Duration, Instant};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_whose_event_is_reorganised_away_stays_is_told_and_its_event_backs_no_other_when_it_comes_back()
 {
    let plan = Plan { chains: vec![scene::CHAINS[0]], tier: "latest", ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let (token, api) = (Token::of(&stack), stack.api());
    let chain = stack.source_chain().expect("a source chain");
    let register = token.register(&["base".to_owned()]);
    assert_eq!(scene::complete(&api, &register.key, &register.body).await.text("/status"), "completed");
    let event = token.emit(chain, &[500]).await.remove(0);
    let mint = token.mint("mint", 500, &event);
    let before = scene::complete(&api, &mint.key, &mint.body).await;
    assert_eq!(
        (before.text("/status"), before.body.get("withdrawn_seq")),
        ("completed", None),
        "{}",
        before.body
    );

    let signed = token.reorganise(chain, &event).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = loop {
        let answer = api.status(mint.rid).await.must();
        if answer.body.get("withdrawn").is_some() {
            break answer;
        }
        assert!(Instant::now() < deadline, "not told in time: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((told.text("/status"), told.text("/outcome")), ("completed", "APPLIED"), "{}", told.body);
    assert_eq!(told.text("/withdrawn/0/code"), "OBSERVATION_WITHDRAWN");
    assert_eq!(told.text("/withdrawn/0/event"), format!("eip155:1/{event}"));
    assert_eq!(told.text("/withdrawn/0/pointer"), "/state_changes/0/backed_by/event");
    assert_eq!(told.body["withdrawn"][0]["seq"], told.body["withdrawn_seq"]);
    let decided = api.read(&format!("/v1/decisions/{}", mint.rid)).await.must();
    assert_eq!(decided["withdrawn"][0]["block_hash"], told.body["withdrawn"][0]["block_hash"]);

    token.bring_back(chain, &event, &signed).await;
    let again = token.mint("again", 500, &event);
    let answer = scene::complete(&api, &again.key, &again.body).await;
    assert_eq!((answer.text("/status"), answer.text("/code")), ("rejected", "EVENT_ALREADY_USED"));
    let sent = [register, mint, again];
    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied), (2, 1));
}
