// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {QuorumVerifier} from "../src/QuorumVerifier.sol";
import {Verdict} from "../src/IQuorumVerifier.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";

contract QuorumVerifierTest is BridgeFixture {
    bytes32 private constant DIGEST = keccak256("digest");
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function setUp() public {
        deploy();
    }

    function judge(bytes memory sigs, Verdict want) private view {
        equal(uint256(verifier.verify(DIGEST, 1, sigs)), uint256(want), "verdict");
    }

    function judgeSet(uint64 setId, uint256[] memory signers, Verdict want) private view {
        bytes memory sigs;
        for (uint256 i = 0; i < signers.length; ++i) {
            sigs = bytes.concat(sigs, signature(signers[i], DIGEST));
        }
        equal(uint256(verifier.verify(DIGEST, setId, sigs)), uint256(want), "verdict");
    }

    // --- signatures ---------------------------------------------------------------------------------------------------

    function test_the_threshold_is_enough_and_more_members_are_fine() public view {
        judge(signatures(DIGEST, 2), Verdict.Valid);
        judge(signatures(DIGEST, 3), Verdict.Valid);
        judge(bytes.concat(signature(keys[0], DIGEST), signature(keys[2], DIGEST)), Verdict.Valid);
    }

    function test_fewer_than_the_threshold_are_not_enough() public view {
        judge("", Verdict.SignaturesInvalid);
        judge(signatures(DIGEST, 1), Verdict.SignaturesInvalid);
    }

    function test_a_signer_counts_once() public view {
        judge(bytes.concat(signature(keys[0], DIGEST), signature(keys[0], DIGEST)), Verdict.SignaturesInvalid);
    }

    function test_signers_out_of_order_are_refused() public view {
        judge(bytes.concat(signature(keys[1], DIGEST), signature(keys[0], DIGEST)), Verdict.SignaturesInvalid);
    }

    function test_a_stranger_spoils_the_batch_even_beside_enough_members() public view {
        uint256[] memory all = ascending(1, 4); // key 4 is no member
        bytes memory sigs;
        for (uint256 i = 0; i < 4; ++i) {
            if (all[i] == 4 || all[i] <= 2) sigs = bytes.concat(sigs, signature(all[i], DIGEST));
        }
        judge(sigs, Verdict.SignaturesInvalid);
    }

    function test_more_signatures_than_members_are_refused_without_looking_at_all_of_them() public view {
        bytes memory sigs = bytes.concat(signatures(DIGEST, 3), new bytes(65 * 1000));
        judge(sigs, Verdict.SignaturesInvalid);
        // A recovery alone costs 3,000 gas: a thousand of them would not fit.
        (bool ok, bytes memory answer) =
            address(verifier).staticcall{gas: 100_000}(abi.encodeCall(verifier.verify, (DIGEST, 1, sigs)));
        isTrue(ok, "within the gas");
        equal(abi.decode(answer, (uint256)), uint256(Verdict.SignaturesInvalid), "verdict");
    }

    function test_a_length_that_is_no_multiple_of_65_is_refused() public view {
        bytes memory two = signatures(DIGEST, 2);
        judge(bytes.concat(two, hex"00"), Verdict.SignaturesInvalid);
        bytes memory cut = new bytes(129);
        for (uint256 i = 0; i < 129; ++i) {
            cut[i] = two[i];
        }
        judge(cut, Verdict.SignaturesInvalid);
    }

    function test_a_high_s_is_refused_though_it_recovers_to_the_member() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[1], DIGEST);
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        uint8 flipped = v == 27 ? 28 : 27;
        equal(ecrecover(DIGEST, flipped, r, high), vm.addr(keys[1]), "the malleated form is a valid signature");
        judge(bytes.concat(signature(keys[0], DIGEST), abi.encodePacked(r, high, flipped)), Verdict.SignaturesInvalid);
    }

    function test_a_recovery_id_other_than_27_or_28_is_refused() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[1], DIGEST);
        judge(bytes.concat(signature(keys[0], DIGEST), abi.encodePacked(r, s, v - 27)), Verdict.SignaturesInvalid);
    }

    function test_a_signature_that_recovers_to_nobody_is_refused() public {
        // A set of threshold 1 in which a failed recovery (address zero) would have to be a member.
        address[] memory one = new address[](1);
        one[0] = vm.addr(1);
        verifier = new QuorumVerifier(0, one, 1, OWNER);
        judge(new bytes(65), Verdict.SignaturesInvalid);
        judge(abi.encodePacked(bytes32(0), bytes32(uint256(1)), uint8(27)), Verdict.SignaturesInvalid);
        judge(signature(1, DIGEST), Verdict.Valid);
    }

    function testFuzz_random_bytes_are_never_valid_and_never_revert(bytes calldata sigs, uint64 setId) public view {
        isTrue(verifier.verify(DIGEST, setId, sigs) != Verdict.Valid, "not valid");
    }

    function testFuzz_any_damaged_byte_spoils_a_valid_set_of_signatures(uint256 index, uint8 flip) public view {
        bytes memory sigs = signatures(DIGEST, 2);
        index = bound(index, 0, sigs.length - 1);
        sigs[index] ^= bytes1(uint8(bound(flip, 1, 255)));
        judge(sigs, Verdict.SignaturesInvalid);
    }

    // --- construction -------------------------------------------------------------------------------------------------

    function test_a_malformed_set_is_refused() public {
        address[] memory members = addressesOf(keys);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.ThresholdOutOfRange.selector, 0, 3));
        new QuorumVerifier(0, members, 0, OWNER);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.ThresholdOutOfRange.selector, 4, 3));
        new QuorumVerifier(0, members, 4, OWNER);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.MemberCount.selector, 0, 32));
        new QuorumVerifier(0, new address[](0), 1, OWNER);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.MemberCount.selector, 33, 32));
        new QuorumVerifier(0, addressesOf(ascending(1, 33)), 1, OWNER);
        members[2] = members[1];
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.MembersNotAscending.selector, 2));
        new QuorumVerifier(0, members, 2, OWNER);
        members[0] = address(0);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.MembersNotAscending.selector, 0));
        new QuorumVerifier(0, members, 2, OWNER);
        new QuorumVerifier(0, addressesOf(ascending(1, 32)), 32, OWNER);
    }

    function test_a_delay_beyond_thirty_days_is_refused() public {
        address[] memory members = addressesOf(keys);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.DelayTooLong.selector, 30 days + 1, 30 days));
        new QuorumVerifier(30 days + 1, members, 1, OWNER);
        new QuorumVerifier(30 days, members, 1, OWNER);
    }

    function test_the_first_set_is_number_one_and_has_no_end() public view {
        (address[] memory members, uint16 threshold, uint64 validUntil) = verifier.setOf(1);
        equal(keccak256(abi.encode(members)), keccak256(abi.encode(addressesOf(keys))), "members");
        equal(threshold, 2, "threshold");
        equal(validUntil, type(uint64).max, "validUntil");
        equal(verifier.currentSetId(), 1, "current");
        isTrue(verifier.isSetValid(1) && !verifier.isSetValid(0) && !verifier.isSetValid(2), "only set 1");
    }

    // --- replacing the set --------------------------------------------------------------------------------------------

    function propose(uint256 firstKey) private returns (uint256[] memory signers) {
        signers = ascending(firstKey, 2);
        vm.prank(OWNER);
        verifier.proposeSet(addressesOf(signers), 2);
    }

    function replaceWith(uint256 firstKey) private returns (uint256[] memory signers) {
        signers = propose(firstKey);
        vm.warp(block.timestamp + 2 days);
        verifier.executeSet();
    }

    function test_a_proposed_set_waits_for_the_delay() public {
        uint256[] memory next = propose(10);
        (address[] memory members, uint16 threshold, uint64 executableAt) = verifier.pendingSet();
        equal(members.length, 2, "members");
        equal(threshold, 2, "threshold");
        equal(executableAt, block.timestamp + 2 days, "executableAt");
        judgeSet(2, next, Verdict.SetNotValid);
        vm.warp(executableAt - 1);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.TooEarly.selector, executableAt));
        verifier.executeSet();
        vm.warp(executableAt);
        vm.expectEmit(true, true, true, true, address(verifier));
        emit QuorumVerifier.SetInstalled(2, members, 2, executableAt + 7 days);
        verifier.executeSet(); // by a stranger: this test contract
        judgeSet(2, next, Verdict.Valid);
        equal(verifier.currentSetId(), 2, "current");
        vm.expectRevert(QuorumVerifier.NothingProposed.selector);
        verifier.executeSet();
    }

    function test_the_previous_set_stays_valid_for_seven_days() public {
        replaceWith(10);
        judgeSet(1, keys, Verdict.Valid);
        vm.warp(block.timestamp + 7 days - 1);
        judgeSet(1, keys, Verdict.Valid);
        vm.warp(block.timestamp + 1);
        judgeSet(1, keys, Verdict.SetNotValid);
    }

    function test_members_of_one_set_do_not_sign_for_the_other() public {
        uint256[] memory next = replaceWith(10);
        judgeSet(1, next, Verdict.SignaturesInvalid);
        judgeSet(2, keys, Verdict.SignaturesInvalid);
    }

    function test_the_owner_can_end_the_previous_set_at_once() public {
        uint256[] memory next = replaceWith(10);
        vm.expectEmit(true, true, true, true, address(verifier));
        emit QuorumVerifier.PreviousSetRevoked(1);
        vm.prank(OWNER);
        verifier.revokePrevious();
        judgeSet(1, keys, Verdict.SetNotValid);
        judgeSet(2, next, Verdict.Valid);
        vm.prank(OWNER);
        vm.expectRevert(QuorumVerifier.NoPreviousSet.selector);
        verifier.revokePrevious();
    }

    function test_there_is_nothing_to_revoke_before_the_first_replacement_or_after_the_grace() public {
        vm.prank(OWNER);
        vm.expectRevert(QuorumVerifier.NoPreviousSet.selector);
        verifier.revokePrevious();
        replaceWith(10);
        vm.warp(block.timestamp + 7 days);
        vm.prank(OWNER);
        vm.expectRevert(QuorumVerifier.NoPreviousSet.selector);
        verifier.revokePrevious();
    }

    function test_only_the_newest_previous_set_has_a_grace() public {
        uint256[] memory second = replaceWith(10);
        uint256[] memory third = replaceWith(20);
        // Set 1 still had five days left when set 3 came.
        judgeSet(1, keys, Verdict.SetNotValid);
        judgeSet(2, second, Verdict.Valid);
        judgeSet(3, third, Verdict.Valid);
        vm.prank(OWNER);
        verifier.revokePrevious();
        judgeSet(1, keys, Verdict.SetNotValid);
        judgeSet(2, second, Verdict.SetNotValid);
    }

    function test_a_proposal_can_be_cancelled_and_only_one_stands() public {
        uint256[] memory next = propose(10);
        address[] memory members = addressesOf(next);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.ProposalPending.selector, 2));
        verifier.proposeSet(members, 1);
        vm.prank(OWNER);
        vm.expectEmit(true, true, true, true, address(verifier));
        emit QuorumVerifier.SetProposalCancelled(2);
        verifier.cancelSet();
        vm.warp(block.timestamp + 30 days);
        vm.expectRevert(QuorumVerifier.NothingProposed.selector);
        verifier.executeSet();
        vm.prank(OWNER);
        vm.expectRevert(QuorumVerifier.NothingProposed.selector);
        verifier.cancelSet();
        (members,,) = verifier.pendingSet();
        equal(members.length, 0, "nothing pending");
        next = replaceWith(20);
        judgeSet(2, next, Verdict.Valid);
    }

    function test_a_malformed_proposal_is_refused_when_it_is_made() public {
        address[] memory members = addressesOf(keys);
        (members[0], members[1]) = (members[1], members[0]);
        vm.prank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.MembersNotAscending.selector, 1));
        verifier.proposeSet(members, 2);
    }

    function test_only_the_owner_proposes_cancels_and_revokes() public {
        address[] memory members = addressesOf(keys);
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(denied);
        verifier.proposeSet(members, 2);
        propose(10);
        vm.expectRevert(denied);
        verifier.cancelSet();
        vm.expectRevert(denied);
        verifier.revokePrevious();
        vm.expectRevert(denied);
        verifier.renounceOwnership();
        vm.prank(OWNER);
        vm.expectRevert(QuorumVerifier.RenounceDisabled.selector);
        verifier.renounceOwnership();
    }

    function test_with_a_delay_of_zero_a_proposal_can_be_executed_at_once() public {
        verifier = new QuorumVerifier(0, addressesOf(keys), 2, OWNER);
        uint256[] memory next = propose(10);
        verifier.executeSet();
        judgeSet(2, next, Verdict.Valid);
    }
}
