//! `GET /v1/sync-requests`: pages, filters, tenants, and how much one call looks at.

use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::status::{OutcomeKind, Status};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bed::{Answer, Bed, Leader, OTHER, READ, Running, mint};

const CLASSES: [&str; 4] = ["bond", "game_item", "real_estate", "art"];

async fn list(bed: &Bed, collector: &Running, key: &str, query: &str) -> Answer {
    bed.ask(Method::GET, key, format!("{}/v1/sync-requests{query}", collector.base), &[]).await
}

/// The ids of a page; with what is wrong when it is none.
fn ids(page: &Answer) -> Vec<Rid> {
    let items = page.body["items"].as_array().unwrap_or_else(|| panic!("no page: {page:?}"));
    items.iter().map(|item| item["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Follows `Link` to the end.
async fn all(bed: &Bed, collector: &Running, query: &str) -> Vec<Rid> {
    let (mut found, mut query) = (Vec::new(), query.to_owned());
    loop {
        let page = list(bed, collector, READ, &query).await;
        found.extend(ids(&page));
        let Some(link) = page.header("link") else {
            assert_eq!(page.body["next_cursor"], Value::Null);
            return found;
        };
        let (path, rest) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link");
        assert_eq!(rest, "; rel=\"next\"");
        assert!(path.contains(page.body["next_cursor"].as_str().expect("a cursor")), "{link}");
        path.strip_prefix("/v1/sync-requests").expect("this route").clone_into(&mut query);
    }
}

/// Moves a request to another time in the index.
fn accepted_at(bed: &Bed, rid: Rid, ms: u64) {
    let index = Keys::new(rid.shard()).index();
    bed.redis.command(&["ZADD", &index, &ms.to_string(), &rid.to_string()]).expect("ZADD");
}

/// One request per class, `rounds` times.
async fn posted(bed: &Bed, collector: &Running, rounds: usize) -> Vec<Rid> {
    let mut rids = Vec::new();
    for round in 0..rounds {
        for class in CLASSES {
            let mut body = mint("X");
            body["asset"]["id"] = json!(format!("{class}:x{round}"));
            rids.push(bed.post(collector, &body, &[]).await.rid());
        }
    }
    rids
}

#[actix_rt::test]
async fn pages_are_newest_first_over_all_shards_and_meet_without_gap_or_repeat() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rids = posted(&bed, &collector, 5).await;
    // Many share one millisecond, in one shard and between shards.
    let mut expected: Vec<(u64, Rid)> = Vec::new();
    for (index, rid) in rids.iter().enumerate() {
        let ms = 1_700_000_000_000 + index as u64 / 9;
        accepted_at(&bed, *rid, ms);
        expected.push((ms, *rid));
    }
    expected.sort_unstable();
    let expected: Vec<Rid> = expected.into_iter().rev().map(|(_, rid)| rid).collect();
    for limit in [1, 2, 3, 7, 19, 20, 21, 200] {
        assert_eq!(all(&bed, &collector, &format!("?limit={limit}")).await, expected, "limit {limit}");
    }
    collector.stop().await;
}

#[actix_rt::test]
async fn a_key_sees_its_tenants_requests_only_and_what_has_expired_is_passed_over() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let (own, gone) = (posted(&bed, &collector, 1).await, posted(&bed, &collector, 1).await[0]);
    let others = bed.post_as(&collector, OTHER, mint("O").to_string(), &[]).await.rid();
    bed.redis.command(&["DEL", &Keys::new(gone.shard()).request(gone)]).expect("DEL");
    let page = list(&bed, &collector, READ, "").await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    let seen = ids(&page);
    assert!(own.iter().all(|rid| seen.contains(rid)) && !seen.contains(&gone) && !seen.contains(&others));
    assert_eq!(ids(&list(&bed, &collector, OTHER, "").await), [others]);
    assert_eq!(list(&bed, &collector, "", "").await.status, 401);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_record_this_build_cannot_read_does_not_take_the_list_away() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rids = posted(&bed, &collector, 1).await;
    let record = Keys::new(rids[0].shard()).request(rids[0]);
    bed.redis.command(&["HSET", &record, "status", "quarantined"]).expect("HSET");
    let seen = ids(&list(&bed, &collector, READ, "").await);
    assert_eq!(seen, rids[1..].iter().rev().copied().collect::<Vec<_>>());
    collector.stop().await;
}

#[actix_rt::test]
async fn filters_by_shard_time_and_the_status_that_is_shown() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rids = posted(&bed, &collector, 1).await;
    let [bond, game, estate, art] = rids[..] else { panic!("four requests") };
    let second = bed.post(&collector, &mint("Y"), &[]).await.rid();
    for (index, rid) in [bond, game, estate, art, second].into_iter().enumerate() {
        accepted_at(&bed, rid, 1_700_000_000_000 + 1_000 * index as u64);
    }
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let seq = leader.decide(bond, Status::Committed, OutcomeKind::Applied, None).await;
    leader.decide(second, Status::Committed, OutcomeKind::Applied, None).await;
    // Its work has left for a target: shown as broadcasting, which no record says.
    let progress = Keys::new(Shard::Financial).progress(seq);
    bed.redis.command(&["HSET", &progress, "base", "sent - -", "#v", "2"]).expect("HSET");
    for (query, expected) in [
        ("?shard=gaming", vec![game]),
        ("?shard=financial", vec![second, bond]),
        ("?status=committed", vec![second]),
        ("?status=broadcasting", vec![bond]),
        ("?status=committed,broadcasting", vec![second, bond]),
        ("?status=accepted&limit=1", vec![art, estate, game]),
        ("?status=failed", vec![]),
        ("?accepted_from=2023-11-14T22:13:22Z", vec![second, art, estate]),
        ("?accepted_to=2023-11-14T22:13:22Z", vec![game, bond]),
        ("?accepted_from=2023-11-14T23:13:21%2B01:00&accepted_to=2023-11-14T22:13:23Z", vec![estate, game]),
    ] {
        assert_eq!(all(&bed, &collector, query).await, expected, "{query}");
    }
    for (query, pointer) in [
        ("?limit=201", "#query/limit"),
        ("?status=done", "#query/status"),
        ("?shard=x", "#query/shard"),
        ("?accepted_from=x", "#query/accepted_from"),
        ("?cursor=x", "#query/cursor"),
        ("?asset=bond:X", "#query/asset"),
    ] {
        let refused = list(&bed, &collector, READ, query).await;
        assert_eq!((refused.status, refused.body["code"].as_str()), (400, Some("invalid_query")), "{query}");
        assert_eq!(refused.pointers(), [pointer], "{query}");
    }
    collector.stop().await;
}

#[actix_rt::test]
async fn one_call_looks_at_a_bounded_part_of_the_index_and_names_where_to_go_on() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let own = posted(&bed, &collector, 1).await[0];
    accepted_at(&bed, own, 1_000);
    // Others' requests, all newer.
    let mut command = vec!["ZADD".to_owned(), Keys::new(Shard::Financial).index()];
    for ms in 0..2_500 {
        command.extend([(1_000_000 + ms).to_string(), Rid::fresh(Shard::Financial).to_string()]);
    }
    bed.redis.command(&command.iter().map(String::as_str).collect::<Vec<_>>()).expect("ZADD");
    let first = list(&bed, &collector, READ, "?shard=financial").await;
    assert_eq!(ids(&first), [], "2,000 of 2,501 are looked at");
    assert!(first.header("link").is_some());
    assert_eq!(all(&bed, &collector, "?shard=financial").await, [own]);
    collector.stop().await;
}
