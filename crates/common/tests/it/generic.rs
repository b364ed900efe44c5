//! What holds for every script: each has a case, a repeat changes nothing, a foreign fence writes nothing.

use common::link::{Fence, Scripts, Token};

use crate::bed::{Bed, Check, NONE, Stage, changed, cluster, standalone};
use crate::cases::{CASES, Fenced};
use crate::controls::without_guard;

#[test]
fn every_script_has_a_case() {
    let cases: Vec<&str> = CASES.iter().map(|case| case.script).collect();
    let scripts: Vec<&str> = Scripts::SOURCES.iter().map(|(script, _)| *script).collect();
    for script in &scripts {
        assert!(cases.contains(script), "{script} has no case");
    }
    assert!(cases.iter().all(|case| scripts.contains(case)));
    for case in CASES {
        let source = Scripts::SOURCES.iter().find(|(script, _)| *script == case.script);
        let is_fenced = source.is_some_and(|(_, source)| source.contains("-- guard:epoch"));
        assert_eq!(is_fenced, case.fenced != Fenced::No, "{}", case.script);
    }
}

#[test]
fn every_script_but_admission_may_run_at_full_memory() {
    for (script, source) in Scripts::SOURCES {
        let header = source.lines().next();
        let expected = if *script == "submit" { "#!lua" } else { "#!lua flags=allow-oom" };
        assert_eq!(header, Some(expected), "{script}");
    }
}

async fn answer_then_repeat(server: &std::sync::Arc<std::sync::Mutex<testkit::redis::RedisServer>>) -> Check {
    for case in CASES {
        let bed = Bed::empty(server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        let first = case.call(&bed, &stage).await?;
        assert!(first.starts_with(case.first), "{}: {first}", case.script);
        let before = bed.picture();
        let again = case.call(&bed, &stage).await?;
        assert!(again.starts_with(case.again), "{} again: {again}", case.script);
        assert_eq!(changed(&before, &bed.picture()), NONE, "{} repeated", case.script);
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_call_answers_that_it_was_done_and_changes_nothing() -> Check {
    answer_then_repeat(&standalone()).await
}

#[tokio::test]
async fn every_script_runs_in_cluster_mode_with_all_its_keys_in_one_slot() -> Check {
    answer_then_repeat(&cluster()).await
}

#[tokio::test]
async fn control_a_script_that_touches_another_slot_fails_in_cluster_mode_only() -> Check {
    let stray = || {
        Scripts::edited(|name, source| {
            let call = "redis.call('SET', 'stray', 1)\nreturn {'OK'}";
            if name == "barrier" { source.replace("return {'OK'}", call) } else { source.to_owned() }
        })
    };
    Bed::empty(&standalone(), stray()).await.link.barrier().await?;
    let error = Bed::empty(&cluster(), stray()).await.link.barrier().await.expect_err("refused");
    assert_eq!(error.disposition(), common::link::Disposition::Halt);
    Ok(())
}

fn foreign(fence: &Fence) -> [(&'static str, Fence); 2] {
    [
        ("epoch", Fence { epoch: fence.epoch - 1, token: fence.token.clone() }),
        ("token", Fence { epoch: fence.epoch, token: Token::random() }),
    ]
}

#[tokio::test]
async fn an_old_epoch_and_another_token_of_the_same_epoch_write_nothing() -> Check {
    let server = standalone();
    for case in CASES.iter().filter(|case| case.fenced != Fenced::No) {
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        let before = bed.picture();
        for (_, fence) in foreign(&case.fence(&stage)) {
            assert_eq!(case.call_as(&bed, &stage, fence).await?, "Fenced", "{}", case.script);
        }
        assert_eq!(changed(&before, &bed.picture()), NONE, "{} fenced", case.script);
    }
    Ok(())
}

#[tokio::test]
async fn control_without_its_check_a_foreign_fence_gets_through() -> Check {
    let server = standalone();
    for case in CASES.iter().filter(|case| case.fenced != Fenced::No) {
        for (guard, position) in [("epoch", 0), ("token", 1)] {
            let stage = Stage::set(&Bed::empty(&server, Scripts::standard()).await).await?;
            let bed = Bed::over(&server, without_guard(case.script, guard)).await;
            let (_, fence) = foreign(&case.fence(&stage))[position].clone();
            let answer = case.call_as(&bed, &stage, fence).await?;
            assert_ne!(answer, "Fenced", "{} without guard {guard}", case.script);
        }
    }
    Ok(())
}
