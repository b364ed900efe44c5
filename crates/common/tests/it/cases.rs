//! One call of every script, made on [`Stage`]. `first` is the answer's word, `again` the one of a repeat.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use common::link::{
    Collection, Commit, Consumed, DeadLetter, Done, DoneEntry, Fence, Progress, ProgressWrite, Rebind, Route,
    SendTo, StatusWrite, StreamId, WaitWrite,
};
use common::status::{Delivery, OutcomeKind, Status};

use crate::bed::{
    BOUNDS, Bed, Check, LIMITS, Stage, TTL_MS, aside, bind, entry, fp, item, name, rid, store, submission,
    target, tenant,
};

type Running = Pin<Box<dyn Future<Output = Check<String>>>>;

/// Whose fence a script checks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fenced {
    No,
    Leader,
    Lane,
}

pub(crate) struct Case {
    pub(crate) script: &'static str,
    pub(crate) fenced: Fenced,
    pub(crate) first: &'static str,
    pub(crate) again: &'static str,
    call: fn(Bed, Stage, Fence) -> Running,
}

impl Case {
    /// Makes the call with the stage's fence.
    pub(crate) async fn call(&self, bed: &Bed, stage: &Stage) -> Check<String> {
        self.call_as(bed, stage, self.fence(stage)).await
    }

    pub(crate) fn fence(&self, stage: &Stage) -> Fence {
        if self.fenced == Fenced::Lane { stage.lane.clone() } else { stage.leader.clone() }
    }

    pub(crate) async fn call_as(&self, bed: &Bed, stage: &Stage, fence: Fence) -> Check<String> {
        (self.call)(bed.clone(), stage.clone(), fence).await
    }
}

macro_rules! cases {
    ($($script:literal $fenced:ident $first:literal $again:literal => |$bed:ident, $stage:ident, $fence:ident| $call:block;)*) => {
        pub(crate) const CASES: &[Case] = &[$(Case {
            script: $script,
            fenced: Fenced::$fenced,
            first: $first,
            again: $again,
            call: |$bed, $stage, $fence| Box::pin(async move {
                let answer = $call;
                Ok(format!("{:?}", answer?))
            }),
        },)*];
    };
}

cases! {
    "init" No "Ok" "Ok" => |bed, _stage, _fence| { bed.link.init("generation-2", true).await };
    "barrier" No "()" "()" => |bed, _stage, _fence| { bed.link.barrier().await };
    "beat" No "T" "T" => |bed, _stage, _fence| {
        bed.link.beat_validator(StreamId::ZERO, "").await.map(|now_ms| if now_ms > 0 { Word("T") } else { Word("0") })
    };
    "submit" No "[Ok" "[Dup" => |bed, _stage, _fence| {
        bed.link.submit(&[submission(9, Route::Input, &tenant())], BOUNDS).await
    };
    "collecting" No "[Ok" "[Kept" => |bed, _stage, _fence| { bed.link.collecting(&[rid(1)]).await };
    "collected" No "[Ok" "[Gone" => |bed, stage, _fence| {
        let handed = [(name("chain"), b"{}".to_vec())];
        let one = Collection { id: stage.request, rid: rid(1), payload: b"{}", source_state: "{}", handed: &handed };
        bed.link.collected(&[one]).await
    };
    "leave" No "1" "0" => |bed, _stage, _fence| { bed.link.leave().await };
    "forget" No "0" "0" => |bed, _stage, _fence| { bed.link.forget_consumers(Duration::ZERO).await };
    "send" No "Ok" "Dup" => |bed, _stage, _fence| { bed.link.send(SendTo::Express, "cancel-1", b"{}", 10).await };
    "lease" No "Held" "Held" => |bed, _stage, fence| {
        bed.link.lease(&name("validator-1"), &fence.token, TTL_MS, 0).await
    };
    "release" Leader "Ok" "Ok" => |bed, _stage, fence| { bed.link.release(&fence).await };
    "attempt" Leader "Ok { count: 1 }" "Ok { count: 1 }" => |bed, _stage, fence| {
        bed.link.attempt(&fence, "message-1").await
    };
    "commit" Leader "Ok" "Dup" => |bed, stage, fence| {
        let status = StatusWrite {
            rid: rid(1),
            fp: fp(1),
            status: Status::Committed,
            seq: Some(4),
            outcome: Some(OutcomeKind::Applied),
            code: None,
            errors: None,
            ended_ms: None,
            replaces: None,
            withdrawn: None,
        };
        let dead = DeadLetter { stage: "validator", code: "BAD", error: "", attempts: 1, original: b"x" };
        bed.link.commit(&fence, &Commit {
            consumed: Consumed { input: Some(stage.input), ..Consumed::default() },
            statuses: &[status],
            parked: &[aside(b"p")],
            dead_letters: &[dead],
            barrier: Some(b"{}"),
            ..entry(4)
        }).await
    };
    "unpark" Leader "Ok([Some" "Ok([None" => |bed, stage, fence| { bed.link.unpark(&fence, &[stage.parked]).await };
    "start" Leader "Ok" "Dup" => |bed, _stage, fence| {
        bed.link.start_target(&fence, &name("optimism"), 3).await
    };
    "relay" Leader "Ok { watermark: 3 }" "Ok { watermark: 3 }" => |bed, _stage, fence| {
        bed.link.relay(&fence, &target(), 3, &[Some(b"{}")], LIMITS).await
    };
    "rewind" Leader "Ok { watermark: 1 }" "Dup" => |bed, _stage, fence| {
        bed.link.rewind(&fence, &target(), 3, 2).await
    };
    "trim" Leader "Ok" "Ok" => |bed, _stage, fence| { bed.link.trim_log(&fence, 3).await };
    "trim_control" Leader "Ok" "Ok" => |bed, _stage, fence| { bed.link.trim_control(&fence, &[target()]).await };
    "pause" No "Ok" "Same" => |bed, _stage, _fence| { bed.link.pause(&target(), Some("operator-1")).await };
    "sender" Lane "Ok" "Ok" => |bed, _stage, fence| { bed.link.lane_sender(&fence, &target(), "0xaa").await };
    "bind" Lane "Ok { nonce: 1 }" "Bound { nonces: [Some(1)] }" => |bed, _stage, fence| {
        bed.link.bind(&fence, &bind(&target(), &[item(2, 0)])).await
    };
    "store" Lane "Ok" "Ok" => |bed, _stage, fence| {
        bed.link.store(&fence, &store(&target(), &[item(1, 0)], 0, 2)).await
    };
    "rebind" Lane "Ok { freed: 1 }" "Ok { freed: 0 }" => |bed, _stage, fence| {
        let (target, items) = (target(), [item(1, 0)]);
        let rebind = Rebind { target: &target, rewind: 0, nonce: 0, chain_next_final: 1, items: &items };
        bed.link.rebind(&fence, &rebind).await
    };
    "wait" Lane "Ok" "Ok" => |bed, _stage, fence| {
        bed.link.wait(&fence, &target(), &[WaitWrite { item: item(1, 0), until_ms: Some(5) }]).await
    };
    "progress" Lane "Ok([Ok" "Ok([Kept" => |bed, _stage, fence| {
        let progress = Progress { state: Delivery::Sent, block: None, tx: vec!["0xaa".to_owned()] };
        bed.link.set_progress(&fence, &target(), &[ProgressWrite { seq: 1, progress }]).await
    };
    "done" Lane "Ok([Ok" "Ok([Dup" => |bed, _stage, fence| {
        let progress = Progress { state: Delivery::Final, block: Some(7), tx: vec!["0xaa".to_owned()] };
        let (target, items) = (target(), [item(1, 0)]);
        let one = DoneEntry { seq: 1, progress: &progress, receipt: b"{}", items: &items };
        bed.link.done(&fence, &Done { target: &target, rewind: 0, entries: &[one], nonces: &[0] }).await
    };
    "pause" No "Ok" "Same" => |bed, _stage, _fence| { bed.link.pause(&target(), Some("devoperate")).await };
}

/// A word that prints without quotes.
struct Word(&'static str);

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}
