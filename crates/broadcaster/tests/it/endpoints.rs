//! Several endpoints of one chain: dead, silent, refusing, lagging, of another chain; and what is shown of them.

use testkit::anvil::{Anvil, AnvilOptions, Bridge, Mining};
use testkit::proxy::{Path, Proxy};

use crate::bed::{Bed, Check, entries, flat};
use crate::nonces::sent;
use crate::process::Process;

fn use_endpoints(bed: &Bed, urls: &[&str]) -> Check {
    let endpoints = serde_json::json!({"base": {"rpc": urls}});
    Ok(std::fs::write(bed.path("endpoints.json"), serde_json::to_vec(&endpoints)?)?)
}

fn chain(chain_id: u64) -> Check<Anvil> {
    Ok(Anvil::start(AnvilOptions { chain_id, mining: Mining::Manual, keep_state: false })?)
}

async fn is_told(process: &Process, code: &str) -> Check<bool> {
    Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == code))
}

#[actix_rt::test]
async fn an_endpoint_that_fails_is_left_for_the_next_one() -> Check {
    let bed = Bed::one_chain().await?;
    use_endpoints(&bed, &["http://127.0.0.1:1", &bed.chain().anvil.url()])?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let _process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(bed.chain()).await
}

/// A node of the tests' chain that answers everything but the question for its chain with an error of its own.
async fn refusing() -> Check<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    actix_rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut asked, mut chunk) = (String::new(), [0; 4_096]);
            // The body is the last thing, and it is one object.
            while !asked.ends_with('}') {
                match stream.read(&mut chunk).await {
                    Ok(len) if len > 0 => asked.push_str(&String::from_utf8_lossy(&chunk[..len])),
                    _ => break,
                }
            }
            let body = asked.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let mut answer = serde_json::json!({"jsonrpc": "2.0", "id": asked["id"]});
            if asked["method"] == "eth_chainId" {
                answer["result"] = "0x2105".into();
            } else {
                answer["error"] = serde_json::json!({"code": -32_005, "message": "limit exceeded"});
            }
            let (answer, head) = (answer.to_string(), "HTTP/1.1 200 OK\r\nconnection: close\r\n");
            let length = answer.len();
            let answer = format!("{head}content-length: {length}\r\n\r\n{answer}");
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    Ok(format!("http://{address}"))
}

#[actix_rt::test]
async fn an_endpoint_that_answers_errors_is_left_for_the_next_one() -> Check {
    let bed = Bed::one_chain().await?;
    let refusing = refusing().await?;
    use_endpoints(&bed, &[&refusing])?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.until("alone it delivers nothing", async |_| is_told(&process, "CHAIN_ANSWER_UNUSABLE").await)
        .await?;
    assert_eq!(process.terminate()?, Some(0));
    use_endpoints(&bed, &[&refusing, &bed.chain().anvil.url()])?;
    let _process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    bed.assert_applied_once(bed.chain(), &flat(&entries(1))).await?;
    bed.assert_at_rest(bed.chain()).await
}

#[actix_rt::test]
async fn an_endpoint_that_stops_answering_under_work_in_flight_is_left_for_the_next_one() -> Check {
    let bed = Bed::one_chain().await?;
    let (chain, work) = (bed.chain(), entries(3));
    let path = Proxy::start(chain.anvil.address()).await?;
    use_endpoints(&bed, &[&format!("http://127.0.0.1:{}", path.port()), &chain.anvil.url()])?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__RPC_TIMEOUT_MS", "300")])?;
    bed.relay(&chain.name, 1, &work[..1]).await?;
    bed.mine_until_receipts(1).await?;
    bed.relay(&chain.name, 2, &work[1..2]).await?;
    sent(&bed, 1).await?;
    // Connections stay open and nothing comes.
    path.set(Path::Held);
    bed.relay(&chain.name, 3, &work[2..]).await?;
    bed.mine_until_receipts(3).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(process.ready().await.0, 200);
    Ok(())
}

#[actix_rt::test]
async fn an_endpoint_of_another_chain_alarms_and_is_not_used_when_the_others_fail() -> Check {
    let bed = Bed::one_chain().await?;
    let right = &bed.chain().anvil;
    // There the wallet has nonce 3: what is bound by its word leaves a gap.
    let wrong = chain(77)?;
    for _ in 0..3 {
        wrong.transfer(bed.sender(), wrong.account(9), alloy::primitives::U256::from(1)).await?;
        wrong.mine(1).await?;
    }
    for urls in [[wrong.url(), right.url()], [right.url(), wrong.url()]] {
        use_endpoints(&bed, &[&urls[0], &urls[1]])?;
        let process = Process::start(&bed)?;
        bed.until("the alarm", async |_| is_told(&process, "WRONG_CHAIN").await).await?;
        assert_eq!(process.ready().await.0, 200, "the other endpoint delivers");
        assert_eq!(process.terminate()?, Some(0));
    }
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    bed.mine_until_receipts(1).await?;
    right.freeze()?;
    bed.relay(&bed.chain().name, 2, &entries(2)[1..]).await?;
    bed.until("nothing answers", async |_| is_told(&process, "CHAIN_UNREACHABLE").await).await?;
    assert_eq!(
        bed.link.lane_state(&bed.chain().name).await?.next_nonce,
        1,
        "nothing is bound by a stranger's word"
    );
    right.thaw()?;
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(bed.chain(), &flat(&entries(2))).await?;
    bed.assert_at_rest(bed.chain()).await?;
    assert_eq!(wrong.nonce(bed.sender()).await?, 3);
    Ok(())
}

#[actix_rt::test]
async fn an_endpoint_that_lags_behind_what_was_final_is_left_for_one_that_does_not() -> Check {
    let bed = Bed::one_chain().await?;
    let good = bed.chain();
    // The same chain as long ago: there is the contract and nothing else.
    let lagging = chain(8453)?;
    let owner: alloy::signers::local::PrivateKeySigner = good.anvil.key(9).parse()?;
    let bridge = Bridge::deploy(&lagging, &[owner.address()], 1).await?;
    assert_eq!(bridge.address, good.bridge.address);
    bed.relay(&good.name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    assert_eq!(process.terminate()?, Some(0));

    use_endpoints(&bed, &[&lagging.url(), &good.anvil.url()])?;
    bed.relay(&good.name, 2, &entries(2)[1..]).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(good, &flat(&entries(2))).await?;
    bed.assert_at_rest(good).await?;
    assert!(!process.log(&bed)?.contains("CHAIN_RESET"));
    assert_eq!(lagging.nonce(bed.sender()).await?, 0);
    Ok(())
}

#[actix_rt::test]
async fn the_key_in_an_endpoints_url_is_neither_logged_nor_shown() -> Check {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let bed = Bed::one_chain().await?;
    let answers = format!("{}/v3/{KEY}?token={KEY}", bed.chain().anvil.url());
    for (url, code) in
        [(format!("http://127.0.0.1:1/v3/{KEY}"), "CHAIN_UNREACHABLE"), (answers, "CHAIN_UNREACHABLE")]
    {
        use_endpoints(&bed, &[&url])?;
        let process = Process::start_with(&bed, "one", &[("RUST_LOG", "debug")])?;
        bed.until("the failure is told", async |_| is_told(&process, code).await).await?;
        let (_, shown) = process.get("/v1/targets", "read").await?;
        let detail =
            process.lane("base").await?["last_error"]["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("endpoint 0") && detail.len() <= 256, "{detail}");
        assert!(!shown.to_string().contains(KEY), "{shown}");
        assert!(!process.log(&bed)?.contains(KEY));
        assert_eq!(process.terminate()?, Some(0));
    }
    Ok(())
}
