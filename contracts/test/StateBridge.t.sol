// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {IQuorumVerifier, Verdict} from "../src/IQuorumVerifier.sol";
import {Membership, StateProof} from "../src/StateProof.sol";
import {StateBridge} from "../src/StateBridge.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";

/// @dev Reverts with the very bytes that would mean "valid", had it returned them.
contract RevertingVerifier is IQuorumVerifier {
    function verify(bytes32, uint64, bytes calldata) external pure returns (Verdict) {
        assembly ("memory-safe") {
            mstore(0, 1)
            revert(0, 32)
        }
    }
}

/// @dev Answers whatever bytes it was made with: shapes a typed call could not decode.
contract AnyAnswerVerifier {
    bytes private _answer;

    constructor(bytes memory answer) {
        _answer = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return _answer;
    }
}

contract StateBridgeTest is BridgeFixture {
    bytes32 private constant A = keccak256("asset a");
    bytes32 private constant B = keccak256("asset b");

    function setUp() public {
        deploy();
    }

    // --- the rule -----------------------------------------------------------------------------------------------------

    function test_an_update_that_follows_the_current_version_is_applied() public {
        StateBridge.Update[] memory us = single(update(A, 0, 1));
        StateBridge.SignedBatch memory b = signed(1, us);
        vm.expectEmit(true, true, true, true, address(bridge));
        emit StateBridge.StateUpdated(A, 1, contentOf(A, 1));
        expectApplied(b.h, [uint64(1), 0, 0, 0]);
        send(b);
        (uint64 version, bytes32 stateHash) = bridge.assetState(A);
        equal(version, 1, "version");
        equal(stateHash, contentOf(A, 1), "content");
    }

    function test_the_same_batch_again_is_stale_and_changes_nothing() public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        send(b);
        expectApplied(b.h, [uint64(0), 1, 0, 0]);
        send(b);
        equal(versionOf(A), 1, "version");
    }

    function test_an_update_ahead_of_its_time_is_deferred_and_lands_later() public {
        StateBridge.SignedBatch memory second = signed(2, single(update(A, 1, 2)));
        expectApplied(second.h, [uint64(0), 0, 1, 0]);
        send(second);
        equal(versionOf(A), 0, "deferred leaves no trace");
        send(signed(1, single(update(A, 0, 1))));
        send(second);
        equal(versionOf(A), 2, "version");
    }

    function test_a_revert_supersedes_leaked_and_unsent_updates() public {
        // The log: 0->1, 1->2, 2->3, then a REVERT 1->4 that undoes versions 2 and 3.
        StateBridge.SignedBatch memory leaked = signed(2, single(update(A, 1, 2)));
        StateBridge.SignedBatch memory unsent = signed(3, single(update(A, 2, 3)));
        StateBridge.SignedBatch memory undo = signed(4, single(update(A, 1, 4)));
        send(signed(1, single(update(A, 0, 1))));
        send(leaked);
        send(undo);
        equal(versionOf(A), 4, "applied over the leaked version");
        expectApplied(unsent.h, [uint64(0), 1, 0, 0]);
        send(unsent);
        equal(versionOf(A), 4, "an undone version never lands after it");
    }

    function test_a_revert_waits_for_the_version_it_starts_from() public {
        StateBridge.SignedBatch memory undo = signed(4, single(update(A, 1, 4)));
        expectApplied(undo.h, [uint64(0), 0, 1, 0]);
        send(undo);
        equal(versionOf(A), 0, "version");
    }

    function test_a_chain_that_is_taken_away_and_joins_again_follows_in_every_order_of_arrival() public {
        // What the validator logs for it: joining 0->3, a REVERT 0->4 that takes it away, joining again 4->6 (version 5
        // was told to other chains only), a REVERT 4->7 that takes it away again.
        StateBridge.SignedBatch[4] memory logged = [
            signed(1, single(update(A, 0, 3))),
            signed(2, single(update(A, 0, 4))),
            signed(3, single(update(A, 4, 6))),
            signed(4, single(update(A, 4, 7)))
        ];
        expectApplied(logged[2].h, [uint64(0), 0, 1, 0]);
        send(logged[2]);
        equal(versionOf(A), 0, "it waits for the REVERT that took the chain away");
        expectApplied(logged[1].h, [uint64(1), 0, 0, 0]);
        send(logged[1]);
        expectApplied(logged[0].h, [uint64(0), 1, 0, 0]);
        send(logged[0]);
        equal(versionOf(A), 4, "what was undone does not land after it");
        expectApplied(logged[2].h, [uint64(1), 0, 0, 0]);
        send(logged[2]);
        expectApplied(logged[3].h, [uint64(1), 0, 0, 0]);
        send(logged[3]);
        equal(versionOf(A), 7, "version");
    }

    function test_the_last_revert_lands_whether_the_joining_before_it_did_or_not() public {
        send(signed(2, single(update(A, 0, 4))));
        StateBridge.SignedBatch memory undo = signed(4, single(update(A, 4, 7)));
        expectApplied(undo.h, [uint64(1), 0, 0, 0]);
        send(undo);
        StateBridge.SignedBatch memory unsent = signed(3, single(update(A, 4, 6)));
        expectApplied(unsent.h, [uint64(0), 1, 0, 0]);
        send(unsent);
        equal(versionOf(A), 7, "version");
    }

    function test_an_update_whose_version_is_not_above_its_from_is_never_applied() public {
        send(signed(1, single(update(A, 0, 1))));
        StateBridge.SignedBatch memory b = signed(2, single(update(A, 1, 1)));
        expectApplied(b.h, [uint64(0), 1, 0, 0]);
        send(b);
        StateBridge.SignedBatch memory c = signed(3, single(update(A, 5, 3)));
        expectApplied(c.h, [uint64(0), 0, 1, 0]);
        send(c);
        equal(versionOf(A), 1, "version");
    }

    function test_two_updates_of_one_asset_in_a_batch_are_taken_in_order() public {
        StateBridge.Update[] memory us = new StateBridge.Update[](3);
        us[0] = update(A, 0, 1);
        us[1] = update(A, 1, 2);
        us[2] = update(A, 0, 1);
        StateBridge.SignedBatch memory b = signed(1, us);
        expectApplied(b.h, [uint64(3), 4, 0, 0]);
        send(b);
        equal(versionOf(A), 2, "version");
    }

    function test_each_update_is_reported_in_exactly_one_mask() public {
        send(signed(1, single(update(A, 0, 5))));
        StateBridge.Update[] memory us = new StateBridge.Update[](4);
        us[0] = update(A, 0, 5);
        us[1] = update(B, 0, 1);
        us[2] = update(B, 7, 8);
        us[3] = update(A, 5, 6);
        StateBridge.SignedBatch memory b = signed(2, us);
        b.skip = 8;
        expectApplied(b.h, [uint64(2), 1, 4, 8]);
        send(b);
        equal(versionOf(A), 5, "a skipped");
        equal(versionOf(B), 1, "b applied");
    }

    // --- skip ---------------------------------------------------------------------------------------------------------

    function test_a_skipped_update_can_be_sent_again_without_the_skip() public {
        StateBridge.SignedBatch memory b = signed(1, fresh(2, 0));
        b.skip = 1;
        expectApplied(b.h, [uint64(2), 0, 0, 1]);
        send(b);
        b.skip = 0;
        expectApplied(b.h, [uint64(1), 2, 0, 0]);
        send(b);
    }

    function test_skip_bits_beyond_the_updates_mean_nothing() public {
        StateBridge.SignedBatch memory b = signed(1, fresh(2, 0));
        b.skip = type(uint64).max - 3;
        expectApplied(b.h, [uint64(3), 0, 0, 0]);
        send(b);
    }

    function test_skip_comes_before_stale() public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        send(b);
        b.skip = 1;
        expectApplied(b.h, [uint64(0), 0, 0, 1]);
        send(b);
    }

    // --- what is passed over ------------------------------------------------------------------------------------------

    function test_a_batch_without_updates_is_passed_over() public {
        StateBridge.SignedBatch memory b = signed(1, new StateBridge.Update[](0));
        expectRejected(b, StateBridge.Rejection.UpdateCount);
        send(b);
    }

    function test_fifty_updates_are_taken_and_fifty_one_are_not() public {
        StateBridge.SignedBatch memory b = signed(1, fresh(51, 0));
        expectRejected(b, StateBridge.Rejection.UpdateCount);
        send(b);
        b = signed(1, fresh(50, 0));
        expectApplied(b.h, [uint64(1 << 50) - 1, 0, 0, 0]);
        send(b);
    }

    function test_a_part_outside_the_parts_is_passed_over() public {
        StateBridge.Update[] memory us = single(update(A, 0, 1));
        StateBridge.Header memory h = headerOf(1, us);
        h.part = 1;
        StateBridge.SignedBatch memory b = sealWith(h, us);
        expectRejected(b, StateBridge.Rejection.PartOutOfRange);
        send(b);
        h.part = 0;
        h.parts = 0;
        b = sealWith(h, us);
        expectRejected(b, StateBridge.Rejection.PartOutOfRange);
        send(b);
        h.part = 1;
        h.parts = 2;
        send(sealWith(h, us));
        equal(versionOf(A), 1, "part 1 of 2 is fine");
    }

    function test_updates_other_than_the_signed_ones_are_passed_over() public {
        StateBridge.SignedBatch memory b = signed(1, fresh(2, 0));
        b.us[1].stateHash = keccak256("forged");
        expectRejected(b, StateBridge.Rejection.UpdatesHashMismatch);
        send(b);
        b = signed(1, fresh(2, 0));
        (b.us[0], b.us[1]) = (b.us[1], b.us[0]);
        expectRejected(b, StateBridge.Rejection.UpdatesHashMismatch);
        send(b);
    }

    function test_an_unknown_set_is_passed_over() public {
        StateBridge.Update[] memory us = single(update(A, 0, 1));
        StateBridge.Header memory h = headerOf(1, us);
        h.setId = 2;
        StateBridge.SignedBatch memory b = sealWith(h, us);
        expectRejected(b, StateBridge.Rejection.SetNotValid);
        send(b);
    }

    function testFuzz_a_header_changed_after_signing_is_passed_over(uint8 field, uint64 by) public {
        StateBridge.Update[] memory us = single(update(A, 0, 1));
        StateBridge.Header memory h = headerOf(10, us);
        h.parts = 9;
        StateBridge.SignedBatch memory b = sealWith(h, us);
        uint64 delta = uint64(bound(by, 1, 7));
        field = field % 5;
        if (field == 0) b.h.shard += uint32(delta);
        else if (field == 1) b.h.seq += delta;
        else if (field == 2) b.h.part += uint16(delta);
        else if (field == 3) b.h.parts += uint16(delta);
        else b.h.stateRoot = bytes32(uint256(delta));
        expectRejected(b, StateBridge.Rejection.SignaturesInvalid);
        send(b);
    }

    function test_a_signature_for_another_chain_or_contract_is_passed_over() public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        StateBridge home = bridge;
        bridge = new StateBridge(verifier, OWNER);
        expectRejected(b, StateBridge.Rejection.SignaturesInvalid);
        send(b);
        bridge = home;
        vm.chainId(999);
        expectRejected(b, StateBridge.Rejection.SignaturesInvalid);
        send(b);
    }

    function testFuzz_no_signature_bytes_revert_the_call(bytes calldata sigs, uint64 skip, uint64 setId) public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        b.sigs = sigs;
        b.skip = skip;
        b.h.setId = setId % 3;
        send(b);
        equal(versionOf(A), 0, "nothing was applied");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_no_batch_content_reverts_the_call(StateBridge.SignedBatch[] calldata batches) public {
        bridge.applyBatches(batches);
    }

    /// @dev Random headers never name the right hash; here they do, so the verifier and the rule see random values.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_no_signed_content_reverts_the_call(StateBridge.Update[] memory us, StateBridge.Header memory h)
        public
    {
        h.updatesHash = hashOf(us);
        h.setId = 1;
        send(sealWith(h, us));
    }

    function test_a_bad_batch_does_not_sink_its_neighbours() public {
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](3);
        batches[0] = signed(1, single(update(A, 0, 1)));
        batches[1] = signed(2, single(update(A, 1, 2)));
        batches[1].sigs = hex"00";
        batches[2] = signed(3, single(update(B, 0, 1)));
        vm.expectEmit(true, true, true, true, address(bridge));
        emit StateBridge.BatchRejected(1, SHARD, 2, 0, StateBridge.Rejection.SignaturesInvalid);
        bridge.applyBatches(batches);
        equal(versionOf(A), 1, "the one before");
        equal(versionOf(B), 1, "the one after");
    }

    function test_a_verifier_that_reverts_only_rejects_the_batch() public {
        bridge = new StateBridge(new RevertingVerifier(), OWNER);
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        expectRejected(b, StateBridge.Rejection.VerifierFailed);
        send(b);
    }

    function test_an_answer_the_bridge_cannot_read_is_never_valid() public {
        bytes[5] memory answers =
            [bytes(""), hex"01", abi.encode(1, 1), abi.encode(type(uint256).max), abi.encode(uint256(1) << 8)];
        for (uint256 i = 0; i < answers.length; ++i) {
            bridge = new StateBridge(IQuorumVerifier(address(new AnyAnswerVerifier(answers[i]))), OWNER);
            send(signed(1, single(update(A, 0, 1))));
            equal(versionOf(A), 0, "nothing was applied");
        }
        // The control: the one answer that is valid.
        bridge = new StateBridge(IQuorumVerifier(address(new AnyAnswerVerifier(abi.encode(1)))), OWNER);
        send(signed(1, single(update(A, 0, 1))));
        equal(versionOf(A), 1, "applied");
    }

    function test_calldata_that_is_not_an_encoding_of_batches_reverts() public {
        bytes memory good = abi.encodeCall(bridge.applyBatches, (new StateBridge.SignedBatch[](1)));
        (bool ok,) = address(bridge).call(good);
        isTrue(ok, "an empty batch is well encoded");
        good[67] = 0xff; // the array now claims 255 batches
        (ok,) = address(bridge).call(good);
        isTrue(!ok, "a length beyond the calldata is not");
    }

    // --- owner --------------------------------------------------------------------------------------------------------

    function test_a_pause_stops_batches_but_not_proofs() public {
        anchorAt(1, StateProof.EMPTY);
        vm.prank(OWNER);
        bridge.pause();
        StateBridge.SignedBatch[] memory none = new StateBridge.SignedBatch[](0);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        bridge.applyBatches(none);
        Membership m = bridge.proveState(SHARD, 1, A, 0, 0, new bytes32[](0));
        equal(uint256(m), uint256(Membership.Absent), "proof while paused");
        vm.prank(OWNER);
        bridge.unpause();
        bridge.applyBatches(none);
    }

    function test_only_the_owner_pauses() public {
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(denied);
        bridge.pause();
        vm.prank(OWNER);
        bridge.pause();
        vm.expectRevert(denied);
        bridge.unpause();
    }

    function test_ownership_moves_in_two_steps_and_is_never_given_up() public {
        address heir = address(0xBEEF);
        vm.prank(OWNER);
        bridge.transferOwnership(heir);
        equal(bridge.owner(), OWNER, "not before the heir accepts");
        vm.prank(heir);
        bridge.acceptOwnership();
        equal(bridge.owner(), heir, "owner");
        vm.prank(heir);
        vm.expectRevert(StateBridge.RenounceDisabled.selector);
        bridge.renounceOwnership();
    }

    function test_a_verifier_without_code_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(StateBridge.VerifierHasNoCode.selector, address(0x1234)));
        new StateBridge(IQuorumVerifier(address(0x1234)), OWNER);
    }
}
