//! Bounds, error dispositions, wrong key types and crash points.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use common::link::{
    Address, Commands, Disposition, Done, DoneEntry, DoneReply, Fence, LinkError, MESSAGE_BYTES_MAX,
    Progress, RECEIPT_BYTES_MAX, Route, STATUS_WRITES_MAX, Scripts, SendTo, Sent, StreamId, Token,
};
use common::status::Delivery;
use redis::Value;

use crate::bed::{
    BOUNDS, Bed, Check, NONE, Stage, changed, commit, entry, lead, locked, name, standalone, submission,
    submit, target, tenant,
};
use crate::cases::CASES;
use crate::same;

fn disposition<T>(outcome: Result<T, LinkError>) -> Option<Disposition> {
    outcome.err().map(|error| error.disposition())
}

#[test]
fn the_id_after_the_last_consumed_one_is_the_next_of_the_same_millisecond() {
    assert_eq!(StreamId::new(5, 1).next(), StreamId::new(5, 2));
    assert_eq!(StreamId::new(5, u64::MAX).next(), StreamId::new(6, 0));
    assert_eq!("5-2".parse(), Ok(StreamId::new(5, 2)));
    assert!("5".parse::<StreamId>().is_err());
}

#[tokio::test]
async fn what_is_above_a_bound_is_rejected_before_it_is_sent() -> Check {
    let bed = Bed::fresh().await;
    let tenant = tenant();
    let batch = vec![submission(1, Route::Input, &tenant); 257];
    same!(disposition(bed.link.submit(&batch, BOUNDS).await), Some(Disposition::Reject));
    let fence = lead(&bed.link).await?;
    let write = common::link::StatusWrite {
        rid: crate::bed::rid(1),
        fp: crate::bed::fp(1),
        status: common::status::Status::Committed,
        seq: None,
        outcome: None,
        code: None,
        errors: None,
        ended_ms: None,
        replaces: None,
        withdrawn: None,
    };
    let writes = vec![write; STATUS_WRITES_MAX + 1];
    let large = common::link::Commit { statuses: &writes, ..entry(1) };
    same!(disposition(bed.link.commit(&fence, &large).await), Some(Disposition::Reject));
    let largest = common::link::Commit { statuses: &writes[1..], ..entry(1) };
    commit(&bed.link, &fence, &largest).await?;
    let (target, sent) = (target(), Progress { state: Delivery::Sent, block: None, tx: vec![] });
    let one = DoneEntry { seq: 1, progress: &sent, receipt: b"{}", items: &[] };
    let done = Done { target: &target, rewind: 0, entries: &[one], nonces: &[] };
    same!(disposition(bed.link.done(&fence, &done).await), Some(Disposition::Reject));
    Ok(())
}

#[tokio::test]
async fn a_message_or_receipt_that_would_never_fit_a_batch_is_rejected_before_it_is_sent() -> Check {
    let bed = Bed::fresh().await;
    let (largest, larger) = (vec![b'x'; MESSAGE_BYTES_MAX], vec![b'x'; MESSAGE_BYTES_MAX + 1]);
    let sent = bed.link.send(SendTo::Express, "a", &larger, 10).await;
    same!(disposition(sent), Some(Disposition::Reject));
    let sent = bed.link.send(SendTo::Express, "b", &largest, 10).await?;
    same!(matches!(sent, Sent::Ok { .. }), true);
    let (target, end) = (target(), Progress { state: Delivery::Final, block: None, tx: vec![] });
    let lane = Fence { epoch: 1, token: Token::random() };
    let finish = async |receipt: &[u8]| {
        let entry = DoneEntry { seq: 1, progress: &end, receipt, items: &[] };
        bed.link.done(&lane, &Done { target: &target, rewind: 0, entries: &[entry], nonces: &[] }).await
    };
    same!(disposition(finish(&larger[..=RECEIPT_BYTES_MAX]).await), Some(Disposition::Reject));
    // The largest one is sent, and only then refused for its lease.
    same!(finish(&larger[..RECEIPT_BYTES_MAX]).await?, DoneReply::Fenced);
    Ok(())
}

/// The keys the last EVALSHA declared, from the slow log.
fn declared_keys(bed: &Bed) -> Check<Vec<String>> {
    let Value::Array(entries) = bed.command(&["SLOWLOG", "GET", "50"]) else { return Err("no log".into()) };
    for entry in entries {
        let Value::Array(parts) = entry else { continue };
        let words: Vec<String> = redis::from_redis_value(parts[3].clone()).unwrap_or_default();
        if words.first().is_some_and(|word| word == "EVALSHA") {
            let count: usize = words[2].parse()?;
            return Ok(words[3..3 + count].to_vec());
        }
    }
    Err("no EVALSHA logged".into())
}

#[tokio::test]
async fn a_key_of_a_wrong_type_stops_a_script_before_its_first_write() -> Check {
    let server = standalone();
    for case in CASES {
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        bed.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
        case.call(&bed, &stage).await?;
        let keys = declared_keys(&bed)?;
        bed.command(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
        same!(keys.is_empty(), false);
        for key in keys {
            let bed = Bed::empty(&server, Scripts::standard()).await;
            let stage = Stage::set(&bed).await?;
            bed.command(&["DEL", &key]);
            bed.command(&["PFADD", &key, "x"]);
            // A hyper-log-log is a string: that is what `:gen`, `:sent` and `:barrier` are, and no other key.
            let before = bed.picture();
            match case.call(&bed, &stage).await {
                Ok(answer) => {
                    let is_string =
                        key.ends_with(":gen") || key.contains(":sent:") || key.contains(":barrier:");
                    let is_unused = answer == "Fenced";
                    assert!(is_string || is_unused, "{} with {key} of a wrong type: {answer}", case.script);
                }
                Err(error) => {
                    let disposition = error.downcast_ref::<LinkError>().map(LinkError::disposition);
                    assert_eq!(disposition, Some(Disposition::Halt), "{} {key}: {error}", case.script);
                    assert_eq!(
                        changed(&before, &bed.picture()),
                        NONE,
                        "{} with {key} of a wrong type",
                        case.script
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_user_without_rights_halts_and_a_read_only_server_is_tried_again() -> Check {
    let bed = Bed::fresh().await;
    bed.command(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection"]);
    let password = secrecy::SecretString::from("secret");
    let address = Address::new(&locked(&bed.server).url(), Some("reader"), Some(&password))?;
    let link = Commands::connect(&address, &name("reader-1")).await?.shard(bed.link.shard());
    same!(disposition(link.head().await), Some(Disposition::Halt));
    let wrong = Address::new(&locked(&bed.server).url(), Some("reader"), None)?;
    same!(Commands::connect(&wrong, &name("reader-1")).await.is_ok(), true);
    bed.command(&["REPLICAOF", "127.0.0.1", "1"]);
    same!(disposition(bed.link.collecting(&[crate::bed::rid(1)]).await), Some(Disposition::Retry));
    Ok(())
}

#[tokio::test]
async fn a_server_busy_with_a_script_is_tried_again() -> Check {
    let bed = Bed::fresh().await;
    bed.link.barrier().await?;
    bed.command(&["CONFIG", "SET", "busy-reply-threshold", "1"]);
    let url = locked(&bed.server).url();
    let endless = std::thread::spawn(move || {
        let mut connection = redis::Client::open(url)?.get_connection()?;
        redis::cmd("EVAL").arg("while true do end").arg(0).query::<Value>(&mut connection)
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match bed.link.barrier().await {
            Ok(()) => same!(std::time::Instant::now() < deadline, true),
            Err(error) => {
                same!(error.disposition(), Disposition::Retry);
                break;
            }
        }
    }
    bed.command(&["SCRIPT", "KILL"]);
    same!(endless.join().is_ok_and(|outcome| outcome.is_err()), true);
    bed.link.barrier().await?;
    Ok(())
}

const CHILD_URL: &str = "OSS_TEST_REDIS";

/// Not a test of its own: what the process of the next test runs. Without its variable it does nothing.
#[tokio::test]
async fn child_that_submits() -> Check {
    let Ok(url) = std::env::var(CHILD_URL) else { return Ok(()) };
    let link = connect_child(&url).await?;
    submit(&link, 1, Route::Input).await.map(drop)
}

async fn connect_child(url: &str) -> Check<common::link::Link> {
    let address = Address::new(url, None, None)?;
    Ok(Commands::connect(&address, &name("child")).await?.shard(common::ids::Shard::Financial))
}

#[tokio::test]
async fn an_armed_crash_point_ends_the_process_before_or_after_the_effect() -> Check {
    const SIGABRT: i32 = 6;
    for (point, entries) in [("link.submit.before", 0), ("link.submit.after", 1), ("link.submit.after:2", 1)]
    {
        let bed = Bed::fresh().await;
        let status = Command::new(std::env::current_exe()?)
            .args(["--exact", "bounds::child_that_submits"])
            .env(CHILD_URL, locked(&bed.server).url())
            .env(common::crash::VARIABLE, point)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()?;
        let expected = if point.ends_with(":2") { None } else { Some(SIGABRT) };
        same!(status.signal(), expected);
        same!(bed.length(&bed.keys.input()), entries);
    }
    Ok(())
}
