// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {StateBridge} from "../src/StateBridge.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";

contract RootsRingTest is BridgeFixture {
    bytes32 private constant A = keccak256("asset a");

    function setUp() public {
        deploy();
    }

    function test_an_accepted_batch_anchors_its_root() public {
        (bool kept,) = bridge.rootOf(SHARD, 1);
        isTrue(!kept, "not yet");
        send(signed(1, single(update(A, 0, 1))));
        bytes32 root;
        (kept, root) = bridge.rootOf(SHARD, 1);
        isTrue(kept, "kept");
        equal(root, ROOT, "root");
        (kept,) = bridge.rootOf(SHARD + 1, 1);
        isTrue(!kept, "another shard's ring is its own");
        uint64 seq;
        (seq, root) = bridge.latest(SHARD);
        equal(seq, 1, "latest seq");
        equal(root, ROOT, "latest root");
    }

    function test_before_the_first_batch_there_is_no_latest_root() public view {
        (uint64 seq, bytes32 root) = bridge.latest(SHARD);
        equal(seq, 0, "seq");
        equal(root, 0, "root");
    }

    function test_a_batch_with_every_update_skipped_or_stale_anchors_too() public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        b.skip = 1;
        send(b);
        (bool kept,) = bridge.rootOf(SHARD, 1);
        isTrue(kept, "kept");
    }

    function test_a_rejected_batch_anchors_nothing() public {
        StateBridge.SignedBatch memory b = signed(1, single(update(A, 0, 1)));
        b.sigs = "";
        send(b);
        (bool kept,) = bridge.rootOf(SHARD, 1);
        isTrue(!kept, "not kept");
    }

    function test_a_newer_entry_takes_the_slot_and_an_older_one_does_not() public {
        anchorAt(5, "five");
        anchorAt(5 + 1024, "newer");
        (bool kept,) = bridge.rootOf(SHARD, 5);
        isTrue(!kept, "overwritten");
        anchorAt(5, "five");
        bytes32 root;
        (kept, root) = bridge.rootOf(SHARD, 5 + 1024);
        isTrue(kept, "an older entry does not take the slot back");
        equal(root, "newer", "root");
        // A different slot: kept, though it is not the latest.
        anchorAt(6, "six");
        (kept, root) = bridge.rootOf(SHARD, 6);
        equal(root, "six", "root of an older entry in a free slot");
        uint64 seq;
        (seq, root) = bridge.latest(SHARD);
        equal(seq, 5 + 1024, "latest");
        equal(root, "newer", "latest root");
    }

    function test_a_second_part_does_not_rewrite_the_root() public {
        anchorAt(5, "first");
        anchorAt(5, "second");
        (, bytes32 root) = bridge.rootOf(SHARD, 5);
        equal(root, "first", "root");
    }

    function test_entry_zero_is_never_a_kept_root() public {
        anchorAt(0, "zero");
        (bool kept,) = bridge.rootOf(SHARD, 0);
        isTrue(!kept, "not kept");
    }
}
