use std::sync::Arc;

use super::*;
use crate::feed::{Live, Owners};
use common::sse::Places;

fn following(live: &Live) -> Following {
    let heartbeat = Duration::from_mins(10);
    Following {
        tenant: "demo".parse().expect("a tenant"),
        position: Position::default(),
        waiting: VecDeque::new(),
        live: live.follow(),
        heartbeat,
        beat_at: Instant::now() + heartbeat,
        _place: Places::new(1, 1).take("key").expect("a place"),
    }
}

fn changed(tenant: &str, ms: u64) -> Told {
    let owners = Owners::from([(tenant.parse().expect("a tenant"), vec![Rid::fresh(Shard::Gaming)])]);
    let what = What::Changed { seq: ms, owners: Arc::new(owners) };
    Told { shard: Shard::Gaming, id: StreamId::new(ms, 0), what }
}

async fn text(following: &mut Following) -> String {
    let event = following.next().await.expect("an event");
    String::from_utf8(event.to_vec()).expect("text")
}

#[actix_web::test]
async fn what_was_seen_and_what_is_anothers_is_passed_over() {
    let live = Live::new();
    let mut following = following(&live);
    for (tenant, ms) in [("demo", 1), ("demo", 1), ("other", 2), ("demo", 3)] {
        live.tell(changed(tenant, ms));
    }
    live.close();
    assert!(text(&mut following).await.contains("id: 0-0,1-0,0-0,0-0\n"));
    assert!(text(&mut following).await.contains("id: 0-0,3-0,0-0,0-0\n"));
    assert_eq!(following.next().await, None);
}

#[actix_web::test]
async fn who_is_too_slow_is_told_that_it_has_missed_something() {
    let live = Live::new();
    let mut following = following(&live);
    (1..=1_000).for_each(|ms| live.tell(changed("demo", ms)));
    assert!(text(&mut following).await.starts_with("event: reset\n"));
    assert!(text(&mut following).await.starts_with("event: changed\n"), "and it goes on");
}
