//! Rates of one key: refused above them before anything is read, told to every client that has one.

use reqwest::Method;

use crate::bed::{Bed, OTHER, READ, Running, SUBMIT, mint};

async fn limited(bed: &Bed) -> Running {
    let mut settings = bed.settings("collector-1");
    // One per minute, so that none comes back while the test runs.
    (settings.limits.submits_per_minute, settings.limits.submits_burst) = (1, 3);
    (settings.limits.reads_per_minute, settings.limits.reads_burst) = (1, 2);
    bed.start_with(settings).await
}

#[actix_rt::test]
async fn a_key_above_its_rate_is_refused_before_its_body_is_read_and_others_are_not() {
    let bed = Bed::new().await;
    let collector = limited(&bed).await;
    for left in [2, 1] {
        let answer = bed.post(&collector, &mint("X"), &[]).await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (202, Some("\"submit\";q=3;w=180")));
        let expected = format!("\"submit\";r={left};t={}", 60 * (3 - left));
        assert_eq!(answer.header("ratelimit"), Some(expected.as_str()));
    }
    // What is not valid counts too.
    let invalid = bed.post_as(&collector, SUBMIT, "{".to_owned(), &[]).await;
    assert_eq!((invalid.status, invalid.header("ratelimit")), (400, Some("\"submit\";r=0;t=180")));
    for body in [mint("X").to_string(), "{".to_owned()] {
        let refused = bed.post_as(&collector, SUBMIT, body, &[]).await;
        assert_eq!((refused.status, refused.body["code"].as_str()), (429, Some("rate_limited")));
        let after: u64 = refused.header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
        assert!((1..=60).contains(&after), "{after}");
        assert_eq!(refused.header("ratelimit"), Some("\"submit\";r=0;t=180"));
    }
    assert_eq!(bed.records(), 2);
    assert_eq!(bed.post_as(&collector, OTHER, mint("X").to_string(), &[]).await.status, 202);
    collector.stop().await;
}

#[actix_rt::test]
async fn reading_has_a_rate_of_its_own() {
    let bed = Bed::new().await;
    let collector = limited(&bed).await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let url = format!("{}/v1/sync-requests/{rid}", collector.base);
    for (path, status) in [("", 200), ("?until=now", 400), ("", 429), ("/events", 429)] {
        let answer = bed.ask(Method::GET, READ, format!("{url}{path}"), &[]).await;
        assert_eq!(answer.status, status, "{path}");
    }
    for path in ["/v1/sync-requests", "/v1/stream"] {
        assert_eq!(bed.ask(Method::GET, READ, format!("{}{path}", collector.base), &[]).await.status, 429);
    }
    // Its reads are not counted as another key's, nor as submissions.
    assert_eq!(bed.ask(Method::DELETE, SUBMIT, url, &[]).await.status, 202);
    assert_eq!(bed.post(&collector, &mint("Y"), &[]).await.status, 202);
    collector.stop().await;
}

#[actix_rt::test]
async fn each_line_of_a_batch_counts() {
    let bed = Bed::new().await;
    let collector = limited(&bed).await;
    let url = format!("{}/v1/sync-requests/batch", collector.base);
    let lines: Vec<String> = (0..5).map(|n| mint(&format!("A{n}")).to_string()).collect();
    let request = bed.client.post(url).bearer_auth(SUBMIT).header("content-type", "application/x-ndjson");
    let text = request.body(lines.join("\n")).send().await.unwrap().text().await.unwrap();
    let results: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<_> = results.iter().filter_map(|result| result["status"].as_u64()).collect();
    assert_eq!(statuses, [202, 202, 202, 429, 429]);
    assert_eq!(results[3]["problem"]["code"], "rate_limited");
    assert!(results[3]["problem"]["retry_after"].as_u64().is_some_and(|after| (1..=60).contains(&after)));
    assert_eq!(bed.records(), 3);
    collector.stop().await;
}

#[actix_rt::test]
async fn without_a_rate_nothing_is_said_of_one() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let answer = bed.post(&collector, &mint("X"), &[]).await;
    assert_eq!(
        (answer.status, answer.header("ratelimit"), answer.header("ratelimit-policy")),
        (202, None, None)
    );
    collector.stop().await;
}
