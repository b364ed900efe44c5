// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {StateBridge} from "../src/StateBridge.sol";
import {Membership} from "../src/StateProof.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";
import {ReferenceTree} from "./lib/ReferenceTree.sol";

contract ProveStateTest is BridgeFixture {
    using ReferenceTree for ReferenceTree.Leaf[];

    uint64 private seq;

    function setUp() public {
        deploy();
    }

    function anchorNext(bytes32 root) private {
        anchorAt(++seq, root);
    }

    function judge(bytes32 keyHash, ReferenceTree.Proof memory p, Membership want, string memory what) private view {
        Membership got = bridge.proveState(SHARD, seq, keyHash, p.leafKeyHash, p.leafValueHash, p.siblings);
        equal(uint256(got), uint256(want), what);
    }

    /// @dev Leaves with keys spread by a hash, or crowded into long shared prefixes so that paths get deep.
    function leavesFrom(bytes32 seed, uint256 count, uint256 crowd)
        private
        pure
        returns (ReferenceTree.Leaf[] memory leaves)
    {
        leaves = new ReferenceTree.Leaf[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = uint256(keccak256(abi.encode(seed, i)));
            if (i < crowd) key = i; // differ in the last bits only: depth up to 256
            leaves[i] = ReferenceTree.Leaf(bytes32(key), keccak256(abi.encode("value", seed, i)));
        }
    }

    function testFuzz_every_leaf_of_a_tree_is_present_and_other_keys_are_absent(bytes32 seed, uint8 size, uint8 crowd)
        public
    {
        ReferenceTree.Leaf[] memory leaves = leavesFrom(seed, bound(size, 1, 12), crowd % 3);
        anchorNext(leaves.rootOf(0));
        for (uint256 i = 0; i < leaves.length; ++i) {
            judge(leaves[i].keyHash, leaves.prove(leaves[i].keyHash), Membership.Present, "present");
        }
        bytes32 missing = keccak256(abi.encode("missing", seed));
        judge(missing, leaves.prove(missing), Membership.Absent, "absent");
    }

    function testFuzz_a_damaged_proof_says_nothing(bytes32 seed, uint8 size, uint8 pick, uint8 what, uint256 damage)
        public
    {
        ReferenceTree.Leaf[] memory leaves = leavesFrom(seed, bound(size, 2, 12), 0);
        anchorNext(leaves.rootOf(0));
        bytes32 keyHash = leaves[pick % leaves.length].keyHash;
        ReferenceTree.Proof memory p = leaves.prove(keyHash);
        bytes32 flip = bytes32(uint256(1) << (damage % 256));
        if (what % 3 == 0) p.leafValueHash ^= flip;
        else if (what % 3 == 1) p.siblings[damage % p.siblings.length] ^= flip;
        else p.leafKeyHash ^= flip;
        judge(keyHash, p, Membership.Invalid, "invalid");
    }

    function testFuzz_a_present_key_is_never_proved_absent(bytes32 seed, uint8 size, uint8 pick, uint8 other) public {
        ReferenceTree.Leaf[] memory leaves = leavesFrom(seed, bound(size, 2, 12), 0);
        anchorNext(leaves.rootOf(0));
        bytes32 keyHash = leaves[pick % leaves.length].keyHash;
        ReferenceTree.Proof memory p = leaves.prove(keyHash);
        (p.leafKeyHash, p.leafValueHash) = (0, 0);
        judge(keyHash, p, Membership.Invalid, "claimed empty");
        ReferenceTree.Leaf memory stranger = leaves[other % leaves.length];
        if (stranger.keyHash == keyHash) return;
        judge(keyHash, leaves.prove(stranger.keyHash), Membership.Invalid, "claimed to be another leaf's place");
    }

    function test_paths_of_full_depth_are_checked() public {
        // Keys 0 and 1 differ in the last bit only: both leaves lie at depth 256.
        ReferenceTree.Leaf[] memory leaves = leavesFrom("seed", 2, 2);
        anchorNext(leaves.rootOf(0));
        ReferenceTree.Proof memory p = leaves.prove(bytes32(0));
        equal(p.siblings.length, 256, "depth");
        judge(bytes32(0), p, Membership.Present, "key 0");
        judge(bytes32(uint256(1)), leaves.prove(bytes32(uint256(1))), Membership.Present, "key 1");
        // Key 2 leaves their path one level above and ends at an empty place.
        p = leaves.prove(bytes32(uint256(2)));
        equal(p.siblings.length, 255, "depth of the empty place");
        judge(bytes32(uint256(2)), p, Membership.Absent, "key 2");
    }

    function test_more_than_256_siblings_are_refused() public {
        ReferenceTree.Leaf[] memory leaves = leavesFrom("seed", 2, 2);
        ReferenceTree.Proof memory p = leaves.prove(bytes32(0));
        bytes32[] memory longer = new bytes32[](257);
        for (uint256 i = 0; i < 256; ++i) {
            longer[i] = p.siblings[i];
        }
        longer[256] = "one more";
        p.siblings = longer;
        // The root such a proof would fold to, were its last level taken for another left turn.
        anchorNext(ReferenceTree.innerHash(leaves.rootOf(0), longer[256]));
        judge(bytes32(0), p, Membership.Invalid, "too deep");
    }

    function test_a_foreign_leaf_off_the_path_proves_nothing_even_if_the_fold_fits() public {
        // A root no honest tree has: the leaf of a left-side key hangs on the right side, where `keyHash` leads.
        bytes32 keyHash = bytes32(type(uint256).max);
        ReferenceTree.Leaf memory foreign = ReferenceTree.Leaf(bytes32(uint256(7)), "value");
        bytes32[] memory siblings = new bytes32[](1);
        siblings[0] = "sibling";
        ReferenceTree.Proof memory p = ReferenceTree.Proof(foreign.keyHash, foreign.valueHash, siblings);
        anchorNext(ReferenceTree.innerHash(siblings[0], ReferenceTree.leafHash(foreign)));
        judge(keyHash, p, Membership.Invalid, "off the path");
        // The control: the same shape with a leaf that does lie on the path.
        foreign.keyHash = bytes32(type(uint256).max - 1);
        p.leafKeyHash = foreign.keyHash;
        anchorNext(ReferenceTree.innerHash(siblings[0], ReferenceTree.leafHash(foreign)));
        judge(keyHash, p, Membership.Absent, "on the path");
    }

    function test_a_leaf_with_key_hash_zero_is_not_taken_for_an_empty_place() public {
        ReferenceTree.Leaf[] memory leaves = new ReferenceTree.Leaf[](1);
        leaves[0] = ReferenceTree.Leaf(0, "value");
        ReferenceTree.Proof memory p = leaves.prove(0);
        anchorNext(leaves.rootOf(0));
        judge(0, p, Membership.Present, "present");
        judge("other", p, Membership.Absent, "a foreign leaf to others");
        (p.leafKeyHash, p.leafValueHash) = (0, 0);
        judge(0, p, Membership.Invalid, "not empty");
        // Even a leaf (0, 0), which no SHA-256 value has, is not reported absent.
        leaves[0].valueHash = 0;
        anchorNext(leaves.rootOf(0));
        judge(0, p, Membership.Invalid, "not empty either");
    }

    function test_in_the_empty_tree_every_key_is_absent() public {
        anchorNext(ReferenceTree.EMPTY);
        judge("any", ReferenceTree.Proof(0, 0, new bytes32[](0)), Membership.Absent, "absent");
        judge(0, ReferenceTree.Proof(0, 0, new bytes32[](0)), Membership.Absent, "key zero too");
    }

    function test_a_root_that_is_not_kept_reverts() public {
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(StateBridge.RootNotKept.selector, SHARD, 9));
        bridge.proveState(SHARD, 9, 0, 0, 0, none);
        anchorAt(9, ReferenceTree.EMPTY);
        bridge.proveState(SHARD, 9, 0, 0, 0, none);
        anchorAt(9 + 1024, ReferenceTree.EMPTY);
        vm.expectRevert(abi.encodeWithSelector(StateBridge.RootNotKept.selector, SHARD, 9));
        bridge.proveState(SHARD, 9, 0, 0, 0, none);
        // Entry 0 has no root, though an unused slot also says 0.
        vm.expectRevert(abi.encodeWithSelector(StateBridge.RootNotKept.selector, SHARD + 1, 0));
        bridge.proveState(SHARD + 1, 0, 0, 0, 0, none);
    }
}
