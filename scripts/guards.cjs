#!/usr/bin/env node
// The negative control of guards in Rust: switches one off at a time in a copy of the sources and expects its directed test to fail.
// Prints one line per guard; exits non-zero if a guard's test passes without it, or if its text is no longer in its file exactly once.
// Usage: guards.cjs [text]   only the guards whose name contains the text
//        guards.cjs --fit    no compilation: only whether every text still fits (part of `make test`)
// The guards of the Redis scripts and of the contracts have their own: `cargo nextest run -p common control`, `contracts/scripts/mutants.cjs`.
'use strict';
const { spawnSync } = require('child_process');
const { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } = require('fs');
const { tmpdir } = require('os');
const path = require('path');

const root = path.join(__dirname, '..');
const ENGINE = 'validator/src/engine';
const EVM = 'broadcaster/src/target/evm';
const FOLLOW = 'collector/src/source/evm_logs';
const GUARDS = [
  // [name, file below crates/, text, replacement, directed test, its package if that is another one]
  ['a request is decided once', `${ENGINE}/intake.rs`, 'let Some(decision) = self.draft.decision(about.rid) else { return true };',
    'let Some(decision) = self.draft.decision(about.rid).filter(|_| false) else { return true };', 'a_request_is_applied_once_however_often_it_comes'],
  ['a decided id with another content', `${ENGINE}/intake.rs`, 'decided_fp == fp && (', '(decided_fp == fp || true) && (', 'an_id_with_another_content_is_refused_and_the_decision_stays'],
  ['time to live', `${ENGINE}/intake.rs`, 'if deadline_ms < self.context.time_ms {', 'if false {', 'a_request_expires_in_log_time_counted_from_its_acceptance'],
  ['another shard', `${ENGINE}/intake.rs`, 'let foreign = rid.shard() != self.context.shard;', 'let foreign = false;', 'a_request_of_another_shard_is_set_aside_without_a_word_about_it'],
  ['where receipts come from', `${ENGINE}/intake.rs`, 'matches!(stream, InputStream::Receipts | InputStream::Local)', 'true', 'a_receipt_counts_only_where_broadcasters_or_the_leader_write'],
  ['who gives up', `${ENGINE}/intake.rs`, 'Body::Targets(_) | Body::GivenUp(_) | Body::TimedOut(_) => stream == InputStream::Local,', 'Body::Targets(_) | Body::TimedOut(_) => stream == InputStream::Local,\n        Body::GivenUp(_) => true,', 'only_the_leader_itself_can_give_a_message_up'],
  ['a cancel is of its tenant', `${ENGINE}/intake.rs`, 'same(c.about, about) && !c.request', '!c.request', 'a_cancel_of_another_tenant_does_nothing_to_a_request'],
  ['age of a value', `${ENGINE}/evidence.rs`, 'if age_ms > u64::from(from.max_age_s) * 1000 {', 'if false {', 'every_code_comes_up_with_its_pointer_and_leaves_the_state_alone'],
  ['a value from the future', `${ENGINE}/evidence.rs`, 'if ahead_ms > FUTURE_MAX_MS {', 'if false {', 'an_observation_from_the_future_is_refused_and_a_clock_that_is_a_minute_fast_is_not'],
  ['an event is of its change', `${ENGINE}/evidence.rs`, 'if let Some(field) = differing {', 'if let Some(field) = differing.filter(|_| false) {', 'an_event_backs_only_the_change_it_is_equal_to'],
  ['an event is used once', `${ENGINE}/execute.rs`, 'if repeated || overlay.is_used(event) {', 'if repeated {', 'one_event_backs_one_change_ever'],
  ['an event is used once in a request', `${ENGINE}/execute.rs`, 'if repeated || overlay.is_used(event) {', 'if overlay.is_used(event) {', 'one_event_backs_one_change_ever'],
  ['expected version', `${ENGINE}/execute.rs`, 'if version != expected {', 'if false {', 'an_expected_version_counts_the_requests_before_it_in_the_same_entry'],
  ['issuer', `${ENGINE}/execute.rs`, 'if asset.issuer != about.tenant.as_str() && !request.is_regulatory() {', 'if false {', 'only_the_tenant_that_registered_an_asset_changes_it'],
  ['a dependency was applied', `${ENGINE}/execute.rs`, 'if !errors.is_empty() {\n            return Err(errors.into());\n        }\n        let at_ms', 'let at_ms', 'a_dependency_must_have_been_applied'],
  ['a dependency is of the own tenant', `${ENGINE}/execute.rs`, 'decision.filter(|decision| decision.tenant == tenant.as_str())', 'decision', 'a_request_of_another_tenant_is_no_dependency_and_nothing_is_told_of_it'],
  ['a dependency in the same entry is of the own tenant', `${ENGINE}/execute.rs`, '.filter(|place| self.at(**place).about.tenant == *tenant)', '', 'a_request_of_another_tenant_is_no_dependency_and_nothing_is_told_of_it'],
  ['orders come on the express stream', `${ENGINE}/intake.rs`, 'request.is_regulatory() && input.s != InputStream::Inx', 'false', 'only_the_express_stream_brings_orders_and_only_they_reach_what_another_tenant_issued'],
  ['a stopped asset', `${ENGINE}/kinds.rs`, 'let stopped = self.overlay.asset().and_then(stopped);', 'let stopped = self.overlay.asset().and_then(stopped).filter(|_| false);', 'a_frozen_asset_stands_still_until_it_is_released_and_its_data_may_still_be_told'],
  ['a stopped holding', `${ENGINE}/kinds.rs`, 'let is_blocked = regulatory::stops(state);', 'let is_blocked = regulatory::stops(state) && false;', 'a_stopped_holding_gives_nothing_and_gets_nothing_while_the_others_go_on'],
  ['a confiscated asset', `${ENGINE}/execute.rs`, 'if !applying.is_ended() {', 'if true {', 'nothing_moves_behind_a_confiscation_in_one_request_and_a_figure_goes_with_the_holding'],
  ['what is frozen does not leave by a rollback', `${ENGINE}/revert/blocked.rs`, 'if takes_frozen(found, prior, work) {', 'if false {', 'units_that_were_frozen_as_they_came_in_do_not_leave_by_a_rollback'],
  ['orders are undone by orders', `${ENGINE}/kinds.rs`, ' || op.is_regulatory()', '', 'a_stopped_asset_is_not_moved_by_a_rollback_and_orders_are_undone_by_orders'],
  ['an order is not cancelled', `${ENGINE}/intake.rs`, ' && !c.request.is_regulatory();', ';', 'an_order_is_not_cancelled'],
  ['a figure goes with a confiscated holding', `${ENGINE}/kinds/confiscate.rs`, '        applying.overlay.set_frozen(slot, Amount::ZERO);\n', '', 'nothing_moves_behind_a_confiscation_in_one_request_and_a_figure_goes_with_the_holding'],
  ['a stopped asset is not rolled back', `${ENGINE}/revert/blocked.rs`, 'if let Some(state) = stopped(found, work) {', 'if let Some(state) = stopped(found, work).filter(|_| false) {', 'a_stopped_asset_is_not_moved_by_a_rollback_and_orders_are_undone_by_orders'],
  ['what is frozen goes last', `${ENGINE}/kinds/forced.rs`, 'let beyond = amount.checked_sub(free).unwrap_or(Amount::ZERO);', 'let beyond = amount; drop(free);', 'a_forced_move_takes_what_is_frozen_last_and_goes_to_whom_may_receive'],
  ['a holding keeps what it held', 'common/src/state/corporate.rs', 'self.snapshots.push(Held { snapshot: snapshots, balance: self.balance });', '', 'a_claim_pays_what_was_held_at_the_snapshot_and_not_what_is_held_now', 'validator'],
  ['a claim goes by the snapshot', `${ENGINE}/kinds/claim.rs`, 'holding.held_at(payment.snapshot)', 'holding.balance', 'a_claim_pays_what_was_held_at_the_snapshot_and_not_what_is_held_now'],
  ['an account claims once', `${ENGINE}/kinds/claim.rs`, 'if applying.overlay.is_claimed(claim) {', 'if false {', 'an_account_is_paid_once_also_in_one_request_and_in_one_entry'],
  ['a stopped asset is not claimed from', `${ENGINE}/kinds/claim.rs`, 'if applying.is_asset_blocked() {', 'if false {', 'a_stopped_asset_and_a_stopped_holding_neither_pay_nor_are_paid'],
  ['a stopped holding does not claim', `${ENGINE}/kinds/claim.rs`, '\n        || applying.is_holding_blocked(holding.state, "/account")', '', 'a_stopped_asset_and_a_stopped_holding_neither_pay_nor_are_paid'],
  ['a stopped asset funds nothing', `${ENGINE}/kinds/payment.rs`, 'if applying.is_asset_blocked() {', 'if false {', 'a_stopped_asset_and_a_stopped_holding_neither_pay_nor_are_paid'],
  ['a payment is made once', `${ENGINE}/kinds/payment.rs`, 'if applying.overlay.payment(slot).is_some() {', 'if false {', 'every_code_comes_up_with_its_pointer_and_leaves_the_state_alone'],
  ['a snapshot is recorded once', `${ENGINE}/kinds/record_snapshot.rs`, 'if let Some(known) = applying.overlay.snapshot(slot) {', 'if let Some(known) = applying.overlay.snapshot(slot).filter(|_| false) {', 'every_code_comes_up_with_its_pointer_and_leaves_the_state_alone'],
  ['an old snapshot is closed', `${ENGINE}/kinds.rs`, 'snapshot.saturating_add(SNAPSHOTS_KEPT) <= snapshots;', 'snapshot.saturating_add(SNAPSHOTS_KEPT) <= snapshots && false;', 'the_last_thirty_two_snapshots_are_kept_and_older_ones_are_closed'],
  ['what a holding keeps is bounded', 'common/src/state/corporate.rs', 'self.snapshots.retain(|held| held.snapshot.saturating_add(kept) > snapshots);', '', 'the_last_thirty_two_snapshots_are_kept_and_older_ones_are_closed', 'validator'],
  ['what is held again is not kept', 'common/src/state/corporate.rs', 'while self.snapshots.last().is_some_and(|held| held.balance == balance) {', 'while false {', 'a_holding_that_comes_and_goes_after_a_snapshot_leaves_nothing_behind', 'validator'],
  ['a record has one form', 'common/src/state.rs', 'if self.ends_in_default {', 'if false {', 'the_state_of_a_holding_is_behind_it_and_active_is_not_written', 'validator'],
  ['a key acts for its authorities', 'common/src/auth.rs', 'if self.authorities.contains(&authority.id) {', 'if true {', 'an_order_needs_a_key_of_its_authority_and_goes_to_the_express_stream', 'collector'],
  ['what ran ahead saw what its turn shows', `${ENGINE}/turns.rs`, 'if !manner.checks || reads.hold(', 'if !manner.checks || true || reads.hold(', 'test(random_programs_run_at_once)'],
  ['a record that was read', `${ENGINE}/reads.rs`, 'self.note(|reads| reads.slots.push((slot, stamp)));', '', 'test(random_programs_run_at_once)'],
  ['a version that was read', `${ENGINE}/reads.rs`, 'self.note(|reads| reads.versions.push((asset, version)));', '', 'test(random_programs_run_at_once)'],
  ['a verdict that was read', `${ENGINE}/reads.rs`, 'self.note(|reads| reads.verdicts.push((place, verdict.map(Verdict::is_applied))));', '', 'test(random_programs_run_at_once)'],
  ['a dependency is ready when it is decided', `${ENGINE}/ready.rs`, 'writers.chain(decided).max()', 'writers.max()', 'test(random_programs_run_when_ready) or test(whoever_is_ready)'],
  ['a reader is ready after the last writer', `${ENGINE}/ready.rs`, 'writers.chain(decided).max()', 'decided.max()', 'test(random_programs_run_when_ready) or test(whoever_is_ready)'],
  ['cheap requests run on one thread', `${ENGINE}/crew.rs`, 'if self.cost_ns < COST_NS_MIN {', 'if self.cost_ns == 0 {', 'a_full_batch_of_todays_requests_runs_on_one_thread_and_one_of_expensive_requests_does_not'],
  ['whole or not at all', `${ENGINE}/execute.rs`, 'kinds::apply(&change.op, &mut applying);\n            }\n            if !errors.is_empty() {', 'kinds::apply(&change.op, &mut applying);\n            }\n            if false {', 'nothing_leaks_from_a_request_whose_last_change_fails'],
  ['a chain that comes back goes on', `${ENGINE}/work.rs`, 'self.former_chains.get(chain).copied().unwrap_or_default()', '0', 'it_goes_on_from_the_last_version_that_it_was_told_and_nobody_waits_for_ever'],
  ['what a chain was told stays known', `${ENGINE}/revert.rs`, 'present.former_chains.clone().into_iter().chain(told).collect()', 'told.collect()', 'what_it_was_told_stays_known_when_something_from_before_it_came_is_undone'],
  ['a chain that was left is told no more', `${ENGINE}/revert.rs`, 'found.from.iter().filter(|(chain, _)| is_on(chain))', 'found.from.iter().filter(|(chain, _)| is_on(chain) || true)', 'what_it_was_told_stays_known_when_something_from_before_it_came_is_undone'],
  ['a rollback opens nothing on a retired chain', `${ENGINE}/revert.rs`, '.filter(|chain| targets.get(chain).is_some())', '', 'on_a_retired_chain_nothing_is_opened_and_nobody_waits_for_it'],
  ['a rollback that an older engine failed on', `${ENGINE}/revert.rs`, 'if given.is_broken {', 'if false {', 'a_rollback_that_an_older_engine_failed_on_stays_without_effect'],
  ['a command may be too far back', `${ENGINE}/past.rs`, 'if matches!(self.state, State::TooOld) {', 'if matches!(self.state, State::TooOld | State::NoRequest) {', 'a_command_that_is_too_far_back_is_too_old_like_a_request'],
  ['entries that a fold keeps', 'validator/src/fold.rs', ' || self.entries.len() as u64 > past::WINDOW_ENTRIES', '', 'it_keeps_the_entries_that_a_rollback_looks_back_on_and_no_more'],
  ['bytes that a fold keeps', 'validator/src/fold.rs', 'self.bytes > past::WINDOW_BYTES || ', '', 'it_keeps_the_bytes_that_a_rollback_looks_at_and_no_more'],
  ['a past ends with its view', 'validator/src/view/past.rs', 'entries.range(search.first()..=self.head()?.seq)?', 'entries.range(search.first()..)?', 'an_archive_beyond_its_view_is_no_past'],
  ['undo records that were not kept', 'validator/src/view.rs', 'if is_short || ', 'if ', 'a_view_that_kept_fewer_undo_records_than_are_wanted_is_rebuilt_and_one_that_kept_more_forgets_them'],
  ['an entry of the others between rollbacks', 'validator/src/sequencer/turn.rs', '!self.are_owed && ', '', 'after_a_rollback_the_others_get_an_entry_and_as_much_time_before_the_next_one'],
  ['time of the others between rollbacks', 'validator/src/sequencer/turn.rs', 'self.others_until.is_none_or(|until| now >= until)', 'true', 'after_a_rollback_the_others_get_an_entry_and_as_much_time_before_the_next_one'],
  ['searches at a time', 'validator/src/http/rollback.rs', 'Semaphore::new(SEARCHES_MAX)', 'Semaphore::new(1_000)', 'only_so_many_search_at_a_time_and_one_that_ends_makes_room'],
  ['rollbacks that a target has not passed', 'validator/src/http/rollback.rs', 'if waiting >= CONTROL_MAX {', 'if false {', 'rollbacks_that_a_target_has_not_passed_are_bounded_and_those_that_all_have_are_forgotten'],
  ['rollbacks that all targets have passed', 'validator/src/trim.rs', '            trim_control(shard).await;\n', '', 'rollbacks_that_a_target_has_not_passed_are_bounded_and_those_that_all_have_are_forgotten'],
  ['effects are in the view before they are looked for', 'validator/src/pipeline.rs', 'if is_awaited {', 'if is_awaited && false {', 'effects_are_in_the_view_before_the_next_turn_looks_for_them'],
  ['own facts wait for the view', 'validator/src/sequencer/facts.rs', '        self.writer.join().await?;\n', '', 'what_a_retired_target_leaves_open_is_logged_once_though_the_view_is_behind'],
  ['a refused file asks nothing of the view', 'validator/src/sequencer/facts.rs', 'if !is_to_be_logged && self.settled', 'if !is_to_be_logged && self.refused.is_none() && self.settled', 'a_refused_file_is_told_once_and_no_turn_waits_for_the_view_because_of_it'],
  ['who was overtaken waits for the view', 'validator/src/sequencer.rs', 'Step::Behind => {\n                    self.writer.join().await?;', 'Step::Behind => {', 'a_leader_that_another_has_overtaken_reads_the_log_once_its_view_has_its_own_entries'],
  ['a past is looked for in a whole view', 'validator/src/writer.rs', 'Some(state) if needs.undone.is_none() => state,', 'Some(state) => state,', 'what_is_to_be_undone_is_looked_for_when_the_view_has_every_entry'],
  ['what the view has not got is kept', 'validator/src/writer.rs', 'oldest.entry.seq <= written)', 'oldest.entry.seq <= written || true)', 'the_next_batch_sees_what_the_view_has_not_got_and_readers_see_neither'],
  ['a run is a chain', 'validator/src/view/write.rs', 'for Record { entry, .. } in run {', 'for Record { entry, .. } in run.iter().take(1) {', 'a_run_in_which_an_entry_does_not_follow_the_one_before_is_not_written_at_all'],
  ['the newest of a run stays', 'validator/src/view/write.rs', 'newest.insert(key.as_str(), change.after.as_deref());', 'newest.entry(key.as_str()).or_insert(change.after.as_deref());', 'a_run_leaves_the_tables_that_its_entries_leave_one_by_one'],
  ['hash of a checkpoint', 'validator/src/checkpoint/file.rs', 'if found != hash {', 'if false {', 'a_damaged_or_short_file_is_named_and_the_next_older_one_is_taken'],
  ['order of a checkpoint', 'validator/src/checkpoint/file.rs', '*last >= place', 'false && *last >= place', 'rows_out_of_order_or_fewer_than_stated_are_not_taken'],
  ['number of rows of a checkpoint', 'validator/src/checkpoint/file.rs', 'if u64::from_le_bytes(rows) != self.rows {', 'if false {', 'rows_out_of_order_or_fewer_than_stated_are_not_taken'],
  ['root of a checkpoint', 'validator/src/view/checkpoint.rs', 'if computed != head.root {', 'if false {', 'values_that_do_not_give_the_stated_root_are_not_taken'],
  ['entries beside a checkpoint', 'validator/src/view/checkpoint.rs', 'if !has_window(txn, first, last, header.head.digest)? {', 'if false {', 'a_view_without_the_entries_that_a_rollback_looks_at_takes_no_checkpoint'],
  ['undo records in a checkpoint', 'validator/src/view/checkpoint.rs', '(head + 1).saturating_sub(undo_entries)', 'u64::MAX', 'a_request_from_before_the_checkpoint_is_undone_as_it_is_on_the_leader'],
  ['finals in a checkpoint', 'validator/src/view/checkpoint.rs', 'if seq >= floor || is_newest {', 'if true {', 'every_process_writes_the_same_bytes_at_the_same_entry'],
  ['generation of a checkpoint', 'validator/src/checkpoint.rs', 'generation.is_none_or(|own| self.generation == own)', 'generation.is_none_or(|_| true)', 'what_is_of_something_else_is_not_taken'],
  ['a checkpoint is ordered by an operator', 'validator/src/http/checkpoints.rs', 'api.authorize(request, Scope::Operate)?;', 'api.authorize(request, Scope::Read)?;', 'what_is_asked_for_wrongly_is_named_and_who_may_not_is_refused'],
  ['a checkpoint is given to peers and operators', 'validator/src/http/checkpoints.rs', 'api.authorize_any(request, &[Scope::Operate, Scope::Peer])?;', 'api.authorize_any(request, &[Scope::Operate, Scope::Peer, Scope::Read])?;', 'what_is_asked_for_wrongly_is_named_and_who_may_not_is_refused'],
  ["digest of a peer's checkpoint", 'validator/src/join.rs', 'if (seq, stated) != (listed.seq, logged) {', 'if false {', 'a_checkpoint_that_is_not_what_the_log_says_is_refused_and_named'],
  ["aux of a peer's checkpoint", 'validator/src/join.rs', '(stated.aux == body.aux, "aux")', '(true, "aux")', 'a_checkpoint_that_is_not_what_the_log_says_is_refused_and_named'],
  ["entries beside a peer's checkpoint are intact", 'validator/src/view/staged.rs', 'if !follows || !entry.is_intact() {', 'if !follows {', 'a_checkpoint_that_is_not_what_the_log_says_is_refused_and_named'],
  ["a peer's entries lead to what Redis has", 'validator/src/join.rs', 'Some((first, last)) if last == prev => Ok(first),', 'Some((first, last)) if last == prev || true => Ok(first),', 'a_checkpoint_that_is_not_what_the_log_says_is_refused_and_named'],
  ['what the last entry asks for is carried out', 'validator/src/join.rs', 'if seq == log_head && asks_of_redis(&body) {', 'if false && asks_of_redis(&body) {', 'a_checkpoint_at_the_head_is_taken_unless_its_entry_asks_something_of_redis'],
  ['a new disk has what targets wait for', 'validator/src/join.rs', 'waits.map_or(u64::MAX, |(_, first)| first)', 'u64::MAX', 'an_empty_disk_joins_from_a_checkpoint_and_leads_with_the_same_root_and_the_same_rollbacks'],
  ['an archive that begins later says so', 'validator/src/http/log.rs', '.filter(|first| first.seq > from_seq)', '.filter(|_| false)', 'an_empty_disk_joins_from_a_checkpoint_and_leads_with_the_same_root_and_the_same_rollbacks'],
  ['two checkpoints before an archive is cut', 'validator/src/consumers.rs', '.chain([checkpoints?]).min();', '.chain(checkpoints).min();', 'an_archive_is_cut_behind_two_checkpoints_and_whoever_needs_more_of_it'],
  ['what targets need stays in the archive', 'validator/src/consumers.rs', 'let others = [relay, standby, Some(stable.saturating_add(1))];', 'let others = [relay.filter(|_| false), standby, Some(stable.saturating_add(1))];', 'an_archive_is_cut_behind_two_checkpoints_and_whoever_needs_more_of_it'],
  ['what standbys need stays in the archive', 'validator/src/consumers.rs', 'let others = [relay, standby, Some(stable.saturating_add(1))];', 'let others = [relay, standby.filter(|_| false), Some(stable.saturating_add(1))];', 'an_archive_is_cut_behind_two_checkpoints_and_whoever_needs_more_of_it'],
  ['what is not stable stays in the archive', 'validator/src/consumers.rs', 'let others = [relay, standby, Some(stable.saturating_add(1))];', 'let others = [relay, standby, Some(stable.saturating_add(u64::MAX))];', 'an_archive_is_cut_behind_two_checkpoints_and_whoever_needs_more_of_it'],
  ['an entry without a receipt is needed', 'validator/src/consumers.rs', 'relayed.into_iter().chain(open(&target.name)).min()?', 'relayed.or(open(&target.name))?', 'a_target_needs_what_was_not_relayed_to_it_and_what_it_has_not_finished_unless_it_is_retired'],
  ['a cut is short', 'validator/src/view/archive.rs', 'let first = first.min(oldest.saturating_add(entries_max));', 'let first = first.min(oldest.saturating_add(entries_max).max(first));', 'an_archive_is_cut_at_its_front_a_part_at_a_time_and_the_view_over_it_is_not_deleted'],
  ['a view over a cut archive stays', 'validator/src/view.rs', 'cut.filter(|first| *first > 1)', 'cut.filter(|_| false)', 'an_archive_is_cut_at_its_front_a_part_at_a_time_and_the_view_over_it_is_not_deleted'],
  ['a leader says that it lives', 'validator/src/trim.rs', '                tell(shard).await;\n', '', 'a_leader_that_has_nothing_to_trim_says_all_the_same_that_it_lives'],
  ['rest after a checkpoint', 'validator/src/checkpoint/keeper.rs', ' && since >= took.saturating_mul(REST)', '', 'one_is_due_after_so_many_entries_and_not_while_the_last_one_is_still_paid_for'],
  ['a lease lives as long as it was granted', 'validator/src/lease.rs', 'self.renewed.elapsed() < self.ttl\n', 'true\n', 'a_lease_is_held_until_its_life_after_the_last_renewal_is_over'],
  ['a standby far behind holds nothing back', 'validator/src/trim.rs', '.filter(|read| head.saturating_sub(*read) <= BEHIND_MAX)', '', 'only_live_standbys_that_are_not_too_far_behind_hold_the_log_back'],
  ['a silent standby holds nothing back', 'validator/src/trim.rs', '.filter(|(_, member)| now_ms.saturating_sub(member.beat_ms) <= SILENT_MS)', '', 'only_live_standbys_that_are_not_too_far_behind_hold_the_log_back'],
  ['an entry has its digest', 'validator/src/replay.rs', 'if !entry.is_intact() {', 'if false {', 'a_changed_entry_is_found_by_its_digest'],
  ['the last entry is the own one', 'validator/src/replay.rs', 'if own.seq == log.seq && own.digest != log.digest {', 'if false {', 'a_changed_last_entry_is_found_by_the_own_copy'],
  ['the view is not ahead of the log', 'validator/src/replay.rs', 'if kept > log.seq {', 'if false {', 'a_log_that_ends_before_the_view_stops_the_start'],
  ['a node of another chain', `${EVM}/nodes.rs`, 'if found == self.chain_id {', 'if true {', 'a_wrong_node_is_passed_over_and_the_one_that_answers_is_asked_first'],
  ['a node is asked again after a failure', `${EVM}/nodes.rs`, "// What answers there next may be something else.\n            node.known.set(Known::Nothing);", '', 'a_node_is_asked_for_its_chain_before_its_first_use_and_after_a_failure'],
  ['pause', `${EVM}/dispatch.rs`, 'if desk.is_paused {', 'if false {', 'a_paused_target_gets_nothing_new_until_it_is_resumed_even_across_a_restart'],
  ['fee cap', 'broadcaster/src/fee.rs', 'if market.base_fee > caps.max_fee {', 'if false {', 'a_first_fee_is_twice_the_base_fee_and_the_tip_within_both_caps'],
  ['cap of a replacement', 'broadcaster/src/fee.rs', 'if least.max_fee > caps.max_fee {', 'if false {', 'a_replacement_pays_an_eighth_more_or_what_the_market_asks_up_to_the_caps'],
  ['another wallet', 'broadcaster/src/lane/drive.rs', 'return Err(TurnError::SenderChanged { bound: sender, configured });', 'drop((sender, configured));', 'another_wallet_takes_over_an_idle_lane_and_waits_for_the_old_one_while_work_is_bound'],
  ['reach of a cover, from', 'common/src/revert.rs', 'from >= self.from && ', '', 'test(covers::)', 'broadcaster'],
  ['reach of a cover, version', 'common/src/revert.rs', ' && version < self.version', '', 'test(covers::)', 'broadcaster'],
  ['an outbox entry is what its id says', 'broadcaster/src/pipeline.rs', 'StreamId::of_seq(body.seq) != message.id || ', '', 'an_entry_of_an_outbox_is_what_its_id_and_its_stream_say'],
  ['a source reaches listed hosts', 'collector/src/source/http_json/guard.rs', 'if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {', 'if false {', 'test(http_json::guard)'],
  ['a source reaches the open internet', 'collector/src/source/http_json/guard.rs', 'let is_public = is_public(address);', 'let is_public = is_public(address) || true;', 'test(http_json::guard)'],
  ['size of an answer', 'collector/src/source/http_json.rs', 'if body.len() + chunk.len() > self.bytes_max {', 'if false {', 'an_answer_that_does_not_tell_its_length_is_read_only_as_far_as_the_limit'],
  ['type of an answer', 'collector/src/source/http_json.rs', 'if !self.content_types.iter().any(|allowed| allowed.eq_ignore_ascii_case(essence)) {', 'if false {', 'answers_that_cannot_be_used_fail_a_required_source_at_once'],
  ['no redirects', 'collector/src/source/http_json.rs', 'reqwest::redirect::Policy::none()', 'reqwest::redirect::Policy::default()', 'answers_that_cannot_be_used_fail_a_required_source_at_once'],
  ['what is deep was compared once', `${FOLLOW}/follow.rs`, '(Verdict::Final, Some(hash)) if *hash != block.block_hash => Verdict::Gone,', '', 'what_left_the_chain_while_no_collector_looked_is_withdrawn_however_deep_it_would_be'],
  ['what is deep and could not be compared', `${FOLLOW}/follow.rs`, '(Verdict::Final, None) => Verdict::Unclear,', '', 'only_what_is_still_there_when_it_is_deep_is_final'],
  ['a second look', `${FOLLOW}/suspects.rs`, 'if first != head {', 'if true {', 'test(one_look_at_one_node) or test(when_two_looks_at_different_newest_blocks_miss_it)'],
  ['what a node still has', `${FOLLOW}/suspects.rs`, 'if count(Voice::Has) > 0 {', 'if false {', 'test(one_look_at_one_node) or test(a_block_that_another_node_still_has)'],
  ['what no other node has said', `${FOLLOW}/suspects.rs`, 'voices.len().clamp(1, NODES_MIN)', '1', 'test(one_look_at_one_node) or test(while_no_other_node_answers)'],
  ['headers come in batches', `${FOLLOW}/rpc.rs`, 'pub(super) const BATCH_MAX: usize = 50;', 'pub(super) const BATCH_MAX: usize = 1;', 'a_chain_that_makes_blocks_faster_than_its_node_answers_is_caught_up_with'],
  ['a batch that is refused', `${FOLLOW}/rpc.rs`, 'Err(Failed::Refused(_)) if size > 1 => self.batch.set(size / 2),', '', 'a_batch_that_a_node_refuses_is_halved_until_it_answers'],
  ['a batch has no order', `${FOLLOW}/rpc.rs`, 'answer.id.as_u64().map(|id| (id, answer))).collect();', 'answer.id.as_u64().map(|_| answer)).zip(0..).map(|(answer, id)| (id, answer)).collect();', 'headers_come_in_batches_and_in_the_order_they_were_asked_for'],
  ['a note that cannot be read', 'collector/src/follow/notes.rs', '            self.unreadable.insert(id);\n', '', 'a_note_that_cannot_be_read_is_left_to_a_collector_that_can'],
  ['memory for notes', 'collector/src/follow.rs', '.sum::<usize>() > bytes_max', '.sum::<usize>() > usize::MAX', 'memory_is_bounded_and_the_oldest_of_whoever_has_most_go'],
  ['withdrawals have a share of their own', 'common/src/link/send.rs', 'Self::Withdrawals => Some("withdrawals"),', 'Self::Withdrawals => Some("cancels"),', 'test(cancels_do_not_keep_withdrawals_out)', 'collector'],
  ['one node, one voice', 'collector/src/source/evm_logs.rs', 'if nodes.iter().any(|other| other.is_at(&node)) {', 'if false {', 'a_node_is_named_once'],
  ['a start that fails says why', 'collector/src/service.rs', 'built.inspect_err(|_| shutdown.begin())', 'built', 'an_address_that_is_taken_ends_it_with_exit_code_70_and_says_which'],
  ['another generation', 'collector/src/generation.rs', '(Some(first), now) => return Err(Changed { shard, first: first.clone(), now }),', '(Some(first), now) => drop(Changed { shard, first: first.clone(), now }),', 'test(generation::)'],
  // Locks and waiters.
  ['nobody passes who waits', `${ENGINE}/waiting.rs`, 'None if is_first => Access::Free,', 'None => Access::Free,', 'while_somebody_waits_nobody_passes_and_what_is_fed_in_too_early_waits_on'],
  ['a held asset', `${ENGINE}/execute.rs`, 'let Some(row) = overlay.lock() else { return Ok(()) };', 'let Some(row) = overlay.lock().filter(|_| false) else { return Ok(()) };', 'a_lock_holds_its_asset_until_its_unlock_and_who_waited_goes_on_by_arrival'],
  ['whose lock an UNLOCK ends', `${ENGINE}/kinds/unlock.rs`, 'row.held.as_ref().is_none_or(|held| held.rid != *lock.as_bytes())', 'row.held.is_none()', 'a_lock_is_for_who_names_it_and_once_in_a_request'],
  ['an asset is locked once', `${ENGINE}/kinds/lock.rs`, 'if row.held.is_some() || ', 'if ', 'a_lock_is_for_who_names_it_and_once_in_a_request'],
  ['the end of a queue', `${ENGINE}/waiting.rs`, '.count() >= queue_max => {', '.count() >= usize::MAX => {', 'whoever_may_not_change_the_asset_does_not_wait_for_it_and_a_queue_has_an_end'],
  ['orders go first', `${ENGINE}/waiting.rs`, '|queued: &&Queued| queued.is_order || !is_order', '|_: &&Queued| true', 'orders_go_before_all_others_and_each_kind_by_arrival'],
  ['who may not change an asset does not wait', `${ENGINE}/execute.rs`, 'self.check_asset(overlay, &mut errors);\n        if errors.is_empty() && access', 'if errors.is_empty() && access', 'whoever_may_not_change_the_asset_does_not_wait_for_it_and_a_queue_has_an_end'],
  ['the time of a wait', `${ENGINE}/intake.rs`, 'if waiter.ends_ms() >= time_ms {', 'if true {', 'who_waits_too_long_is_refused_and_one_whose_own_time_is_over_expires'],
  ['the time of a lock', `${ENGINE}/waiting.rs`, 'held.rid == *lock.as_bytes() && held.until_ms < time_ms', 'held.rid == *lock.as_bytes()', 'a_lock_ends_by_an_entry_after_its_time_and_by_none_before'],
  ['which lock has ended', `${ENGINE}/waiting.rs`, 'held.rid == *lock.as_bytes() && held.until_ms < time_ms', 'held.until_ms < time_ms', 'a_lock_ends_by_an_entry_after_its_time_and_by_none_before'],
  ['who says that a lock has ended', `${ENGINE}/intake.rs`, 'Body::Targets(_) | Body::GivenUp(_) | Body::TimedOut(_) => stream == InputStream::Local,', 'Body::Targets(_) | Body::GivenUp(_) => stream == InputStream::Local,\n        Body::TimedOut(_) => true,', 'a_lock_ends_by_an_entry_after_its_time_and_by_none_before'],
  ['what is fed in waits', `${ENGINE}/intake.rs`, '.filter(|waiter| waiter.message == input.bytes())', '.filter(|_| true)', 'a_message_that_comes_again_while_its_request_waits_is_dropped_and_another_content_refused'],
  ['a waiter is decided once', `${ENGINE}/intake.rs`, 'if let Some(waiter) = self.draft.waiter(about.rid) {\n            if is_of', 'if let Some(waiter) = self.draft.waiter(about.rid).filter(|_| false) {\n            if is_of', 'a_message_that_comes_again_while_its_request_waits_is_dropped_and_another_content_refused'],
  ['an order that waits is not cancelled', `${ENGINE}/intake.rs`, '&& (waiter.is_order || !is_of(', '&& (!is_of(', 'a_waiter_is_cancelled_by_its_tenant_and_an_order_is_not'],
  ['a cancel of a waiter is of its content', `${ENGINE}/intake.rs`, '|| !is_of(&waiter.tenant, waiter.fp, &about.tenant, about.fp))', '|| false)', 'a_waiter_is_cancelled_by_its_tenant_and_an_order_is_not'],
  ['what takes effect later waits', `${ENGINE}/execute.rs`, '(at_ms > self.conditions.time_ms).then_some(at_ms)', 'None', 'what_takes_effect_later_waits_for_its_time_and_one_that_would_have_expired_is_refused'],
  ['what would have expired does not wait', `${ENGINE}/execute.rs`, 'if at_ms > candidate.deadline_ms {', 'if false {', 'what_takes_effect_later_waits_for_its_time_and_one_that_would_have_expired_is_refused'],
  ['room for waiters', `${ENGINE}/turns.rs`, 'self.work.waiters >= room(candidate)', 'false', 'a_shard_has_room_for_so_many_waiters_and_no_more'],
  ['orders have room of their own', `${ENGINE}/turns.rs`, 'if candidate.request.is_regulatory() { WAITERS_MAX * 2 } else { WAITERS_MAX }', 'WAITERS_MAX', 'a_shard_has_room_for_so_many_waiters_and_no_more'],
  ['an order waits as long as it may', `${ENGINE}/execute.rs`, 'if request.is_regulatory() { u64::MAX } else { lock_wait_ms }', 'lock_wait_ms', 'who_waits_too_long_is_refused_and_one_whose_own_time_is_over_expires'],
  ['a lock does not follow its own unlock', `${ENGINE}/kinds/lock.rs`, ' || applying.overlay.was_locked()', '', 'a_lock_is_for_who_names_it_and_once_in_a_request'],
  ['an empty row of a lock goes', `${ENGINE}/draft/waiting.rs`, '.filter(|row| !row.is_empty())', '', 'random_traffic_gives_what_a_naive_model_gives'],
  ['who may not change an asset does not wait for others', `${ENGINE}/execute.rs`, 'if overlay.asset().is_some() {\n                Checked', 'if false {\n                Checked', 'random_traffic_gives_what_a_naive_model_gives'],
  ['a leader knows the time before it feeds in', 'validator/src/sequencer.rs', 'self.now_ms = self.redis_ms().await?;', '', 'a_request_that_waits_and_kills_the_process_when_its_turn_comes_is_given_up_too'],
  ['a lock is explained to its tenant', 'validator/src/http/explain/waiting.rs', '.filter(|held| held.tenant == waiter.tenant)', '', 'a_queue_of_64_goes_on_in_order_behind_an_order_and_survives_its_leader'],
  ['under suspicion one waiter at a time', 'validator/src/sequencer/due.rs', 'Share::One => 1,', 'Share::One => sizes.len(),', 'an_entry_takes_what_a_batch_takes_and_under_suspicion_one_and_nobody_is_forgotten'],
  ['a lock is shown to its tenant', 'validator/src/http/locks.rs', 'self.sees_all || self.tenant.as_str() == tenant', 'true', 'a_queue_of_64_goes_on_in_order_behind_an_order_and_survives_its_leader'],
  ['a cycle over entries', `${ENGINE}/execute.rs`, 'if let Some(cycle) = self.conditions.draft.cycle(candidate.about.rid, *rid) {', 'if let Some(cycle) = self.conditions.draft.cycle(candidate.about.rid, *rid).filter(|_| false) {', 'a_cycle_over_entries_rejects_the_one_that_closes_it'],
  ['no rollback under a lock', `${ENGINE}/revert/blocked.rs`, '.and_then(|row| row.held.as_ref()) {', '.and_then(|row| row.held.as_ref()).filter(|_| false) {', 'a_lock_is_for_who_names_it_and_once_in_a_request'],
  ['locks are not undone', `${ENGINE}/kinds.rs`, 'Op::Burn { .. } | Op::Lock { .. } | Op::Unlock { .. })', 'Op::Burn { .. })', 'a_lock_is_for_who_names_it_and_once_in_a_request'],
  ['what went on after waiting is found again', `${ENGINE}/past.rs`, '.filter(|input| input.s != InputStream::Receipts)', '.filter(|input| matches!(input.s, InputStream::In | InputStream::Inx))', 'a_request_that_went_on_after_waiting_can_be_rolled_back'],
  ['explain tells of an undecided request to its tenant alone', 'validator/src/http/explain.rs', '.filter(|record| record.tenant == tenant)', '', 'what_ended_is_explained_with_its_code_and_another_tenant_learns_nothing'],
  ['explain tells of a decided request to its tenant alone', 'validator/src/http/explain.rs', '.filter(|decision| decision.tenant == tenant.as_str())', '.filter(|_| tenant.as_str() != "")', 'what_ended_is_explained_with_its_code_and_another_tenant_learns_nothing'],
  ['the target that is least far blocks', 'validator/src/explain/delivery.rs', 'causes.min_by_key(', 'causes.max_by_key(', 'of_several_targets_the_one_that_is_least_far_blocks_and_one_whose_receipt_is_logged_does_not'],
  ['a settled target blocks nothing', 'validator/src/explain/delivery.rs', '.filter(|target| !target.is_settled)', '.filter(|_| true)', 'of_several_targets_the_one_that_is_least_far_blocks_and_one_whose_receipt_is_logged_does_not'],
  ['stages add up', 'validator/src/explain/budget.rs', 'last_ms += spent_ms;', 'last_ms += 0;', 'the_stages_of_a_budget_add_up_to_its_total_whatever_is_known'],
  ['a budget outlives the progress', 'validator/src/http/explain/targets.rs', 'times.done_ms.or_else(|| received(name))', 'times.done_ms.or_else(|| received(name).filter(|_| false))', 'a_delivery_is_explained_from_the_relay_to_its_end_and_its_budget_survives_restart_and_expiry'],
  ['what is past is not announced', 'validator/src/explain.rs', 'expires_ms.filter(|expires_ms| *expires_ms > facts.now_ms)', 'expires_ms', 'an_undecided_request_is_explained_by_where_its_message_is_and_what_holds_the_shard'],
  ['a failure of collecting has a code with a page', 'collector/src/source.rs', '=> "SOURCE_INVALID"', '=> "SOURCE_ODD"', 'every_code_of_a_failed_collection_is_in_the_list_of_codes_that_have_a_page'],
];

const wanted = process.argv[2] ?? '';
const report = (verdict, name) => process.stdout.write(`${verdict} ${name}\n`);
const source = (file) => readFileSync(path.join(root, 'crates', file), 'utf8');

const unfit = GUARDS.filter(([, file, text]) => source(file).split(text).length !== 2);
unfit.forEach(([name]) => report('UNFIT   ', name));
if (wanted === '--fit') {
  report(`${GUARDS.length - unfit.length} of ${GUARDS.length}`, 'guards are where the list says');
  process.exit(unfit.length === 0 ? 0 : 1);
}
const chosen = GUARDS.filter((guard) => guard[0].includes(wanted) && !unfit.includes(guard));
if (chosen.length === 0) throw new Error('no guard has that name');

const copy = mkdtempSync(path.join(tmpdir(), 'guards-'));
const target = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'guards');
mkdirSync(target, { recursive: true });
const cargo = (...args) => spawnSync('cargo', args, {
  cwd: copy, encoding: 'utf8', maxBuffer: 1 << 26, env: { ...process.env, CARGO_TARGET_DIR: target, CARGO_INCREMENTAL: '1' },
});
/** Whether the directed test fails; `undefined` if it could not be built or is none. */
const fails = ([, file, , , test, crate = file.split('/')[0]]) => {
  const build = cargo('build', '--locked', '--bin', crate);
  const filter = test.startsWith('test(') ? test : `test(/(^|::)${test}$/)`;
  const run = build.status === 0 ? cargo('nextest', 'run', '--locked', '-p', crate, '-E', filter) : build;
  const ran = /Summary .* [1-9]\d* tests? run/.test(run.stderr);
  return ran ? run.status !== 0 : undefined;
};
let bad = unfit.length;
try {
  for (const file of spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).stdout.split('\0').filter(Boolean)) {
    cpSync(path.join(root, file), path.join(copy, file));
  }
  // anvil lies there.
  symlinkSync(path.join(root, 'contracts/node_modules'), path.join(copy, 'contracts/node_modules'));
  const sound = new Map();
  for (const guard of chosen) {
    const [name, file, text, replacement, test] = guard;
    if (!sound.has(file + test)) sound.set(file + test, fails(guard) === false);
    if (!sound.get(file + test)) {
      bad++;
      report('UNSOUND ', `${name}: ${test} does not pass with the guard`);
      continue;
    }
    writeFileSync(path.join(copy, 'crates', file), source(file).replace(text, () => replacement));
    const failed = fails(guard);
    if (!failed) bad++;
    report(failed ? 'held    ' : failed === false ? 'UNTESTED' : 'UNBUILT ', name);
    writeFileSync(path.join(copy, 'crates', file), source(file));
  }
} finally {
  rmSync(copy, { recursive: true });
}
process.exitCode = bad === 0 ? 0 : 1;
