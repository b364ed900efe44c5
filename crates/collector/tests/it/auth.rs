//! Who may do what: scopes and tenants.

use common::link::Stream;
use reqwest::Method;
use serde_json::{Value, json};

use crate::batch::batch_as;
use crate::bed::{Bed, OTHER, READ, REGULATE, SUBMIT, mint};

#[actix_rt::test]
async fn without_a_known_key_everything_is_401_and_without_the_scope_403() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let posted = bed.post(&collector, &mint("X"), &[]).await;
    let url = format!("{}/v1/sync-requests/{}", collector.base, posted.rid());
    for (key, status) in [("", 401), ("oss_devread_wrong", 401), ("oss_nobody_x", 401), ("something", 401)] {
        assert_eq!(bed.post_as(&collector, key, mint("Y").to_string(), &[]).await.status, status, "{key}");
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(bed.ask(method.clone(), key, url.clone(), &[]).await.status, status, "{key} {method}");
        }
    }
    assert_eq!(bed.post_as(&collector, READ, mint("Y").to_string(), &[]).await.status, 403);
    assert_eq!(bed.ask(Method::DELETE, READ, url.clone(), &[]).await.status, 403);
    assert_eq!(bed.ask(Method::GET, READ, url, &[]).await.status, 200);
    assert_eq!(bed.records(), 1);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_tenant_sees_and_cancels_its_own_requests_only() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let posted = bed.post(&collector, &mint("X"), &[("idempotency-key", "k")]).await;
    let url = format!("{}/v1/sync-requests/{}", collector.base, posted.rid());
    for headers in [&[][..], &[("prefer", "wait=20")]] {
        for method in [Method::GET, Method::DELETE] {
            let answer = bed.ask(method.clone(), OTHER, url.clone(), headers).await;
            assert_eq!((answer.status, answer.pointers()), (404, vec!["#path/rid".to_owned()]), "{method}");
        }
    }
    // The same key of another tenant is another request.
    let others = bed.post_as(&collector, OTHER, mint("X").to_string(), &[("idempotency-key", "k")]).await;
    assert_eq!((others.status, others.header("idempotency-replayed")), (202, None));
    assert_ne!(others.rid(), posted.rid());
    assert_eq!(bed.ask(Method::GET, SUBMIT, url, &[]).await.status, 200);
    collector.stop().await;
}

/// An order of an authority.
fn order(authority: &str) -> Value {
    json!({
        "asset": {"id": "bond:X"},
        "state_changes": [{"kind": "FREEZE"}],
        "authority": {"id": authority, "order": "2026-17"},
    })
}

#[actix_rt::test]
async fn an_order_needs_a_key_of_its_authority_and_goes_to_the_express_stream() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    for (key, body, code, pointers) in [
        (SUBMIT, order("sec"), "forbidden", vec![]),
        (REGULATE, mint("X"), "forbidden", vec![]),
        (REGULATE, order("fatf"), "not_the_authority", vec!["/authority/id".to_owned()]),
    ] {
        let answer = bed.post_as(&collector, key, body.to_string(), &[]).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!(code)), "{key} {body}");
        assert_eq!(answer.pointers(), pointers);
    }
    assert_eq!(bed.records(), 0);
    let lines = [order("sec"), mint("X"), order("fatf")].map(|line| line.to_string()).join("\n");
    let results = batch_as(&bed, &collector, REGULATE, lines).await;
    let statuses: Vec<_> = results.iter().filter_map(|line| line["status"].as_u64()).collect();
    assert_eq!(statuses, [202, 403, 403]);

    assert_eq!(bed.post_as(&collector, REGULATE, order("sec").to_string(), &[]).await.status, 202);
    assert_eq!(bed.messages(Stream::Express).await.len(), 2);
    assert_eq!(bed.entries(), 2, "nowhere else");
    collector.stop().await;
}

#[actix_rt::test]
async fn a_key_of_scope_peer_opens_nothing() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid().to_string();
    // The description is that of the whole origin; the others' routes are not here.
    let fill = ["rid", "id", "asset", "account", "shard", "hash", "target"].map(|name| (name, rid.as_str()));
    let others: Vec<_> = ["validator.openapi.json", "broadcaster.openapi.json"]
        .into_iter()
        .flat_map(|file| testkit::generated::operations(file, &fill))
        .collect();
    let description = bed.ask(Method::GET, "", format!("{}/openapi.json", collector.base), &[]).await;
    let mut own = testkit::generated::operations_of(&description.body, &fill);
    own.retain(|operation| !others.contains(operation));
    assert!(own.contains(&("POST".to_owned(), "/v1/sync-requests".to_owned())), "{own:?}");
    for (method, path) in own {
        let method: Method = method.parse().expect("a method");
        let url = format!("{}{path}", collector.base);
        let answer = bed.ask(method.clone(), "oss_peer_p", url.clone(), &[]).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        // The control: a key of the right scopes opens it. Only the head is read: streams have no end.
        let opened = bed.client.request(method.clone(), url).bearer_auth(SUBMIT).send().await;
        let status = opened.expect("an answer").status().as_u16();
        assert!(![401, 403, 404].contains(&status), "{method} {path}: {status}");
    }
    collector.stop().await;
}
