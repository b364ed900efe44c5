//! What operators and clients see and do.

use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::targets::{Targets, Tier};

use crate::bed::{Bed, Check, SHARD, entries, name};
use crate::process::Process;

#[actix_rt::test]
async fn a_paused_target_gets_nothing_new_until_it_is_resumed_even_across_a_restart() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    assert_eq!(process.post("/v1/targets/base/pause", "read").await?.0, 403);
    assert_eq!(process.post("/v1/targets/nowhere/pause", "operate").await?.0, 404);
    let (status, answer) = process.post("/v1/targets/base/pause", "operate").await?;
    assert_eq!((status, &answer["paused"], &answer["changed"]), (200, &true.into(), &4.into()));
    let (_, answer) = process.post("/v1/targets/base/pause", "operate").await?;
    assert_eq!(answer["changed"], 0);
    bed.until("paused", async |_| Ok(process.lane("base").await?["state"] == "paused")).await?;
    assert_eq!(process.terminate()?, Some(0));

    let process = Process::start(&bed)?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    bed.mine_until("paused after the restart", async |_| {
        Ok(process.lane("base").await.is_ok_and(|lane| lane["state"] == "paused"))
    })
    .await?;
    chain.anvil.mine(5).await?;
    let lane = process.lane("base").await?;
    assert_eq!((&lane["paused_by"], &lane["oldest_seq"]), (&"operate".into(), &1.into()));
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 0, "nothing was sent");
    assert_eq!(process.post("/v1/targets/base/resume", "operate").await?.0, 200);
    bed.mine_until_receipts(1).await?;
    Ok(())
}

#[actix_rt::test]
async fn the_targets_list_shows_lanes_wallets_and_what_was_removed() -> Check {
    let bed = Bed::one_chain().await?;
    bed.redis.command(&["HSET", "{oss:financial}:head", "wm:former", "12"])?;
    bed.relay(&bed.chain().name, 1, &entries(2)).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(2).await?;
    let lane = process.lane("base").await?;
    assert_eq!(lane["state"], "driving");
    assert_eq!(lane["holder"], "broadcaster-one");
    assert_eq!((&lane["watermark"], &lane["next_nonce"]), (&2.into(), &1.into()));
    assert_eq!(lane["oldest_seq"], serde_json::Value::Null);
    assert_eq!(lane["sender"], bed.sender().to_string());
    let balance: u128 = lane["balance_wei"].as_str().ok_or("no balance")?.parse()?;
    assert!(balance > 1_000_000_000_000_000_000, "{balance}");
    let former = process.lane("former").await?;
    assert_eq!((&former["state"], &former["watermark"]), (&"stopped".into(), &12.into()));
    assert_eq!(former["last_error"]["code"], "TARGET_REMOVED");
    assert_eq!(process.get("/v1/targets", "nobody").await?.0, 401);
    Ok(())
}

#[actix_rt::test]
async fn a_request_shows_its_deliveries_to_its_tenant_only() -> Check {
    let bed = Bed::one_chain().await?;
    let process = Process::start(&bed)?;
    let rid = Rid::fresh(SHARD);
    let fp = Digest::of(&[b"fp"]).to_string();
    let record = [
        "tenant",
        "demo",
        "fp",
        &fp,
        "status",
        "committed",
        "rank",
        "5",
        "version",
        "4",
        "at",
        "1",
        "seq",
        "1",
    ];
    let key = format!("{{oss:financial}}:req:{rid}");
    bed.redis.command(&[&["HSET", key.as_str()], record.as_slice()].concat())?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    bed.mine_until_receipts(1).await?;
    let (status, body) = process.get(&format!("/v1/deliveries/{rid}"), "read").await?;
    assert_eq!((status, &body["seq"], &body["status"]), (200, &1.into(), &"committed".into()));
    let base = &body["targets"]["base"];
    assert_eq!(base["state"], "final");
    assert_eq!(base["tx"].as_array().map(Vec::len), Some(1));
    for (path, key, expected) in [
        (format!("/v1/deliveries/{rid}"), "other", 404),
        (format!("/v1/deliveries/{}", Rid::fresh(Shard::Gaming)), "read", 404),
        ("/v1/deliveries/no-rid".to_owned(), "read", 400),
        (format!("/v1/deliveries/{rid}"), "nobody", 401),
        ("/v1/nowhere".to_owned(), "read", 404),
    ] {
        let (status, body) = process.get(&path, key).await?;
        assert_eq!(status, expected, "{path} as {key}");
        assert!(body["code"].is_string(), "{body}");
    }
    Ok(())
}

#[actix_rt::test]
async fn a_process_with_another_target_list_than_the_log_is_not_ready_and_sends_nothing() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let logged = bed.targets(common::targets::Tier::Finalized)?.digest();
    bed.log_targets(SHARD, Digest::of(&[b"another list"]))?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.until("not ready for that reason", async |_| {
        let (status, body) = process.ready().await;
        let detail = body["checks"]["shard:financial"]["detail"].as_str().unwrap_or_default().to_owned();
        Ok(status == 503 && detail.contains("target list differs"))
    })
    .await?;
    chain.anvil.mine(5).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 0);
    bed.log_targets(SHARD, logged)?;
    bed.mine_until_receipts(1).await?;
    assert_eq!(process.ready().await.0, 200);
    Ok(())
}

#[actix_rt::test]
async fn a_changed_target_list_is_taken_over_without_a_restart_once_file_and_log_agree() -> Check {
    let bed = Bed::set(&[("base", 8453)], &["bench"], Tier::Finalized).await?;
    let both = bed.targets(Tier::Finalized)?;
    let base = Targets::new(both.iter().filter(|target| target.name == name("base")).cloned().collect())?;
    let log =
        |targets: &Targets| Shard::ALL.iter().try_for_each(|shard| bed.log_targets(*shard, targets.digest()));
    std::fs::write(bed.path("targets.json"), base.canonical())?;
    log(&base)?;
    let mut process = Process::start(&bed)?;
    bed.until("ready with one target", async |_| Ok(process.ready().await.0 == 200)).await?;

    // The log is ahead of the file: not ready, however often the file is read.
    log(&both)?;
    bed.until("not ready", async |_| Ok(process.ready().await.0 == 503)).await?;
    std::fs::write(bed.path("targets.json"), b"{\"targets\": [")?;
    bed.until("the half written file is read", async |bed| {
        Ok(process.log(bed)?.contains("The targets file cannot be read again"))
    })
    .await?;
    assert!(!process.log(&bed)?.contains("starting anew"), "taken over before file and log agree");
    std::fs::write(bed.path("targets.json"), both.canonical())?;
    bed.until("ready with both", async |_| {
        Ok(process.ready().await.0 == 200 && process.lane("bench").await.is_ok())
    })
    .await?;
    for target in bed.target_names() {
        bed.relay(&target, 1, &entries(2)).await?;
    }
    let receipts = bed.mine_until_receipts(4).await?;
    assert_eq!(receipts.iter().filter(|receipt| receipt.target == name("bench")).count(), 2);
    bed.assert_at_rest(bed.chain()).await?;
    let metrics = process.metrics().await?;
    assert!(metrics.contains("bench"), "metrics go on: {metrics}");
    assert!(process.is_running()?, "it is the same process");
    assert_eq!(process.terminate()?, Some(0));
    Ok(())
}

#[actix_rt::test]
async fn an_endpoint_of_another_chain_makes_the_process_unready() -> Check {
    let bed = Bed::one_chain().await?;
    let wrong = testkit::anvil::Anvil::start(testkit::anvil::AnvilOptions {
        chain_id: 77,
        mining: testkit::anvil::Mining::Manual,
        keep_state: false,
    })?;
    std::fs::write(
        bed.path("endpoints.json"),
        serde_json::to_vec(&serde_json::json!({"base": {"rpc": [wrong.url()]}}))?,
    )?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.until("not ready for that reason", async |_| {
        let (status, body) = process.ready().await;
        let detail = body["checks"]["lane:financial/base"]["detail"].as_str().unwrap_or_default().to_owned();
        Ok(status == 503 && detail.contains("serves chain 77"))
    })
    .await?;
    Ok(())
}

#[actix_rt::test]
async fn a_wiped_redis_ends_the_process_with_its_own_exit_code() -> Check {
    let bed = Bed::one_chain().await?;
    let mut process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.redis.command(&["FLUSHALL"])?;
    assert_eq!(process.ended().await?, Some(common::exit::DATA_LOSS));
    Ok(())
}

/// Puts a dead letter into a shard's stream, as COMMIT does.
fn set_aside(bed: &Bed, shard: Shard, code: &str, original: &[u8]) -> Check {
    let address = redis::Client::open(bed.redis.url())?;
    let mut connection = address.get_connection()?;
    let mut command = redis::cmd("XADD");
    command.arg(format!("{{oss:{shard}}}:dlq")).arg("*").arg("stage").arg("validator").arg("code").arg(code);
    command.arg("error").arg("why").arg("attempts").arg(3).arg("original").arg(original);
    command.query::<String>(&mut connection)?;
    Ok(())
}

#[actix_rt::test]
async fn an_operator_lists_dead_letters_of_all_shards_page_by_page() -> Check {
    let bed = Bed::one_chain().await?;
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    assert_eq!(process.get("/v1/dlq", "read").await?.0, 403);
    assert_eq!(process.get("/v1/dlq", "operate").await?, (200, serde_json::json!({"items": []})));
    for n in 0..20 {
        set_aside(&bed, Shard::Financial, "CRASH", format!(r#"{{"v":1,"n":{n}}}"#).as_bytes())?;
    }
    set_aside(&bed, Shard::General, "MALFORMED", b"\xff")?;
    let mut items: Vec<serde_json::Value> = Vec::new();
    let mut path = "/v1/dlq?limit=7".to_owned();
    let mut pages = Vec::new();
    loop {
        let (status, page) = process.get(&path, "operate").await?;
        assert_eq!(status, 200, "{page}");
        let found = page["items"].as_array().ok_or("no items")?;
        pages.push(found.len());
        items.extend(found.iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/dlq?limit=7&cursor={cursor}");
    }
    assert_eq!(pages, [7, 7, 7]);
    for (n, item) in items.iter().take(20).enumerate() {
        assert_eq!((&item["shard"], &item["original"]["n"]), (&"financial".into(), &n.into()), "{item}");
        assert_eq!((&item["stage"], &item["code"]), (&"validator".into(), &"CRASH".into()));
        assert_eq!((&item["error"], &item["attempts"]), (&"why".into(), &3.into()));
        assert!(item["at_ms"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{item}");
    }
    assert_eq!((&items[20]["shard"], &items[20]["original"]["b64"]), (&"general".into(), &"/w==".into()));
    let (_, page) = process.get("/v1/dlq?shard=general", "operate").await?;
    assert_eq!(page["items"], serde_json::json!([items[20]]));
    for query in ["limit=0", "limit=201", "cursor=x", "shard=moon", "page=2"] {
        assert_eq!(process.get(&format!("/v1/dlq?{query}"), "operate").await?.0, 400, "{query}");
    }
    Ok(())
}

#[actix_rt::test]
async fn a_key_of_scope_peer_opens_nothing() -> Check {
    let bed = Bed::one_chain().await?;
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    let rid = Rid::fresh(SHARD).to_string();
    let operations =
        testkit::generated::operations("broadcaster.openapi.json", &[("rid", &rid), ("id", "base")]);
    assert!(operations.len() >= 5, "{operations:?}");
    for (method, path) in operations {
        let method: reqwest::Method = method.parse()?;
        assert_eq!(process.ask(method.clone(), &path, "peer").await?.0, 403, "{method} {path}");
        // The control: another scope opens it.
        assert_ne!(process.ask(method.clone(), &path, "operate").await?.0, 403, "{method} {path}");
    }
    Ok(())
}
