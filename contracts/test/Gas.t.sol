// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {QuorumVerifier} from "../src/QuorumVerifier.sol";
import {StateBridge} from "../src/StateBridge.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";
import {ReferenceTree} from "./lib/ReferenceTree.sol";

/// @dev Keeps calldata as code, so that a test's own figure is little more than the call it measures.
contract Blob {
    constructor(bytes memory data) {
        assembly ("memory-safe") {
            return(add(data, 32), mload(data))
        }
    }
}

/// @title What transactions cost; run with `--isolate`, so that each call is one, with its base cost, calldata and cold slots.
/// @notice One validator signature of a set of one (threshold 1) unless said otherwise; the shard's ring slot is in use.
contract GasTest is BridgeFixture {
    using ReferenceTree for ReferenceTree.Leaf[];

    event Measured(uint256 gas, uint256 perUpdate);

    address private oneExisting;
    address private tenExisting;
    address private fiftyExisting;
    address private fiftyNew;
    address private fiftyStale;
    address private thirteenBatchesOfFifty;
    address private quorumOfSeven;
    address private proof;
    StateBridge private seven;

    function setUp() public {
        deploy();
        keys = ascending(1, 1);
        bridge = new StateBridge(new QuorumVerifier(0, addressesOf(keys), 1, OWNER), OWNER);
        send(signedBy(1, fresh(50, 0)));
        for (uint64 seq = 2; seq < 17; ++seq) {
            StateBridge.Update[] memory us = distinct(seq, 0);
            send(signedBy(seq, us));
        }
        // The measured entries reuse slots: a running bridge has filled its ring.
        fiftyStale = blob(signedBy(1025, fresh(50, 0)));
        oneExisting = blob(signedBy(1025, fresh(1, 1)));
        tenExisting = blob(signedBy(1025, fresh(10, 1)));
        fiftyExisting = blob(signedBy(1025, fresh(50, 1)));
        fiftyNew = blob(signedBy(1025, distinct(99, 0)));
        thirteenBatchesOfFifty = manyBatches(13);
        proof = proofOfMillionKeys();
        quorumOfSeven = quorum(7);
    }

    function signedBy(uint64 seq, StateBridge.Update[] memory us)
        private
        view
        returns (StateBridge.SignedBatch memory)
    {
        StateBridge.Header memory h = headerOf(seq, us);
        return StateBridge.SignedBatch(h, us, signatures(bridge.digestOf(h), keys.length), 0);
    }

    /// @return us Fifty updates of assets that no other `group` has.
    function distinct(uint256 group, uint64 from) private pure returns (StateBridge.Update[] memory us) {
        us = fresh(50, from);
        for (uint256 i = 0; i < us.length; ++i) {
            us[i].asset = keccak256(abi.encode(group, i));
        }
    }

    function blob(StateBridge.SignedBatch memory b) private returns (address) {
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](1);
        batches[0] = b;
        return address(new Blob(abi.encodeCall(bridge.applyBatches, (batches))));
    }

    function manyBatches(uint256 count) private returns (address) {
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint64 seq = uint64(2 + i);
            batches[i] = signedBy(1024 + seq, distinct(seq, 1));
        }
        return address(new Blob(abi.encodeCall(bridge.applyBatches, (batches))));
    }

    /// @dev The length of a path among a million keys; where the fold ends does not matter to its cost.
    function proofOfMillionKeys() private returns (address) {
        bytes memory call =
            abi.encodeCall(bridge.proveState, (SHARD, 1, keccak256("k"), keccak256("k"), ROOT, new bytes32[](20)));
        return address(new Blob(call));
    }

    function quorum(uint256 size) private returns (address) {
        keys = ascending(1, size);
        StateBridge small = bridge;
        bridge = new StateBridge(new QuorumVerifier(0, addressesOf(keys), uint16(size), OWNER), OWNER);
        send(signedBy(1, fresh(1, 0)));
        address data = blob(signedBy(1025, fresh(1, 1)));
        seven = bridge;
        bridge = small;
        return data;
    }

    function measure(StateBridge target, address data, uint256 updates, uint256 perUpdateMax) private {
        (bool ok,) = address(target).call(data.code);
        isTrue(ok, "the call went through");
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        isTrue(gas / updates <= perUpdateMax, string.concat("gas per update: ", vm.toString(gas / updates)));
        emit Measured(gas, gas / updates);
    }

    function test_gas_of_1_update() public {
        measure(bridge, oneExisting, 1, 100_000);
        equal(versionOf(keccak256(abi.encode("asset", 0))), 2, "applied");
    }

    function test_gas_of_10_updates() public {
        measure(bridge, tenExisting, 10, 30_000);
    }

    function test_gas_of_50_updates() public {
        measure(bridge, fiftyExisting, 50, 20_000);
        equal(versionOf(keccak256(abi.encode("asset", 49))), 2, "applied");
    }

    function test_gas_of_50_updates_of_new_assets() public {
        measure(bridge, fiftyNew, 50, 55_000);
    }

    function test_gas_of_50_stale_updates() public {
        measure(bridge, fiftyStale, 50, 20_000);
    }

    function test_gas_of_650_updates_in_13_batches_is_within_10_million() public {
        measure(bridge, thirteenBatchesOfFifty, 650, 15_384);
        equal(versionOf(keccak256(abi.encode(uint256(14), uint256(49)))), 2, "applied");
    }

    function test_gas_of_1_update_signed_by_7() public {
        measure(seven, quorumOfSeven, 1, 150_000);
    }

    function test_gas_of_a_proof_of_20_siblings() public {
        measure(bridge, proof, 1, 100_000);
    }
}
