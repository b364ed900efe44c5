// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {StateBridge} from "../src/StateBridge.sol";
import {LogHandler} from "./lib/LogHandler.sol";
import {TestBase} from "./lib/TestBase.sol";

/// @title Whatever the order, the repeats and the omissions, every chain ends at the log's last version.
contract LogDeliveryTest is TestBase {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    LogHandler private handler;

    function setUp() public {
        handler = new LogHandler();
    }

    /// @dev Asked by the test runner: which contracts it may call.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev Asked by the test runner: which of their functions.
    function targetSelectors() public view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0].addr = address(handler);
        selectors[0].selectors = new bytes4[](5);
        selectors[0].selectors[0] = LogHandler.commit.selector;
        selectors[0].selectors[1] = LogHandler.undo.selector;
        selectors[0].selectors[2] = LogHandler.deliver.selector;
        selectors[0].selectors[3] = LogHandler.deliverMany.selector;
        selectors[0].selectors[4] = LogHandler.deliver.selector;
    }

    /// @dev The handler checks every landing; a failed check reverts its call, and `fail_on_revert` fails the run.
    function invariant_no_chain_is_ahead_of_the_log() public view {
        for (uint256 c = 0; c < 2; ++c) {
            for (uint256 a = 0; a < 3; ++a) {
                (uint64 version,) = handler.chains(c).assetState(handler.assetAt(a));
                isTrue(version <= handler.lastVersion(a), "ahead of the log");
            }
        }
    }

    /// @dev Called by the test runner at the end of each run.
    function afterInvariant() public {
        handler.settle(handler.entries() * 7 + 3);
    }

    function testFuzz_every_chain_settles_at_the_end_of_the_log(uint256[12] calldata seeds) public {
        for (uint256 i = 0; i < seeds.length; ++i) {
            uint256 seed = seeds[i];
            seed % 3 == 0 ? handler.undo(seed >> 2) : handler.commit(seed >> 2);
            handler.deliver(seed >> 64, seed >> 72, seed >> 80, uint64(seed >> 88));
            handler.deliverMany(seed >> 160, seed >> 168, seed >> 176, uint64(seed >> 184));
        }
        handler.settle(seeds[0]);
    }

    /// @dev Without this the runs above could pass by never reaching the cases they are about.
    function test_the_handler_reaches_every_outcome() public {
        for (uint256 i = 0; i < 200; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            if (i % 9 == 0) handler.commit(seed);
            if (i % 9 == 4) handler.undo(seed);
            handler.deliver(seed, seed >> 8, seed >> 16, uint64(seed >> 24));
            handler.deliverMany(seed >> 96, seed >> 104, seed >> 200, uint64(seed >> 112));
        }
        handler.settle(1);
        LogHandler.Outcomes memory seen = handler.outcomes();
        isTrue(seen.applied > 0 && seen.stale > 0 && seen.deferred > 0, "each outcome of the rule");
        isTrue(seen.covered > 0 && seen.superseded > 0, "unsent and leaked updates under a REVERT");
        isTrue(seen.reverts > 3 && seen.overlapping > 0, "overlapping REVERTs");
        isTrue(seen.jumps > 0, "entries with several versions of an asset");
    }
}
