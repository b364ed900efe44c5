// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {QuorumVerifier} from "../../src/QuorumVerifier.sol";
import {StateBridge} from "../../src/StateBridge.sol";
import {TestBase} from "./TestBase.sol";

/// @title A bridge with a 2-of-3 set, and the means to build and sign batches.
abstract contract BridgeFixture is TestBase {
    uint32 internal constant SHARD = 0;
    bytes32 internal constant ROOT = keccak256("root");
    address internal constant OWNER = address(0xA11CE);

    QuorumVerifier internal verifier;
    StateBridge internal bridge;
    /// @dev Private keys in ascending order of their addresses.
    uint256[] internal keys;

    function deploy() internal {
        vm.warp(1_750_000_000);
        keys = ascending(1, 3);
        verifier = new QuorumVerifier(2 days, addressesOf(keys), 2, OWNER);
        bridge = new StateBridge(verifier, OWNER);
    }

    /// @return sorted The `count` private keys from `first` on, sorted by address.
    function ascending(uint256 first, uint256 count) internal pure returns (uint256[] memory sorted) {
        sorted = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = first + i;
            uint256 j = i;
            for (; j > 0 && vm.addr(sorted[j - 1]) > vm.addr(key); --j) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = key;
        }
    }

    function addressesOf(uint256[] memory privateKeys) internal pure returns (address[] memory members) {
        members = new address[](privateKeys.length);
        for (uint256 i = 0; i < privateKeys.length; ++i) {
            members[i] = vm.addr(privateKeys[i]);
        }
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @return sigs Of the first `count` keys.
    function signatures(bytes32 digest, uint256 count) internal view returns (bytes memory sigs) {
        for (uint256 i = 0; i < count; ++i) {
            sigs = bytes.concat(sigs, signature(keys[i], digest));
        }
    }

    function update(bytes32 asset, uint64 from, uint64 version) internal pure returns (StateBridge.Update memory) {
        return StateBridge.Update(asset, from, version, contentOf(asset, version));
    }

    /// @dev A state hash that tells which asset and version it belongs to.
    function contentOf(bytes32 asset, uint64 version) internal pure returns (bytes32) {
        return keccak256(abi.encode(asset, version));
    }

    function single(StateBridge.Update memory u) internal pure returns (StateBridge.Update[] memory us) {
        us = new StateBridge.Update[](1);
        us[0] = u;
    }

    /// @return us `count` updates of different assets, all from version `from` to `from + 1`.
    function fresh(uint256 count, uint64 from) internal pure returns (StateBridge.Update[] memory us) {
        us = new StateBridge.Update[](count);
        for (uint256 i = 0; i < count; ++i) {
            us[i] = update(keccak256(abi.encode("asset", i)), from, from + 1);
        }
    }

    /// @dev Each update encoded on its own, unlike the contract, which hashes the calldata in one piece.
    function hashOf(StateBridge.Update[] memory us) internal pure returns (bytes32) {
        bytes memory encoded;
        for (uint256 i = 0; i < us.length; ++i) {
            encoded = bytes.concat(encoded, abi.encode(us[i].asset, us[i].from, us[i].version, us[i].stateHash));
        }
        return keccak256(encoded);
    }

    function headerOf(uint64 seq, StateBridge.Update[] memory us) internal pure returns (StateBridge.Header memory) {
        return StateBridge.Header({
            shard: SHARD, seq: seq, part: 0, parts: 1, setId: 1, updatesHash: hashOf(us), stateRoot: ROOT
        });
    }

    function sealWith(StateBridge.Header memory h, StateBridge.Update[] memory us)
        internal
        view
        returns (StateBridge.SignedBatch memory)
    {
        return StateBridge.SignedBatch(h, us, signatures(bridge.digestOf(h), 2), 0);
    }

    function signed(uint64 seq, StateBridge.Update[] memory us) internal view returns (StateBridge.SignedBatch memory) {
        return sealWith(headerOf(seq, us), us);
    }

    function send(StateBridge.SignedBatch memory b) internal {
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](1);
        batches[0] = b;
        bridge.applyBatches(batches);
    }

    function expectRejected(StateBridge.SignedBatch memory b, StateBridge.Rejection reason) internal {
        vm.expectEmit(true, true, true, true, address(bridge));
        emit StateBridge.BatchRejected(0, b.h.shard, b.h.seq, b.h.part, reason);
    }

    function expectApplied(StateBridge.Header memory h, uint64[4] memory masks) internal {
        vm.expectEmit(true, true, true, true, address(bridge));
        emit StateBridge.BatchApplied(h.shard, h.seq, h.part, h.parts, masks[0], masks[1], masks[2], masks[3]);
    }

    function versionOf(bytes32 asset) internal view returns (uint64 version) {
        (version,) = bridge.assetState(asset);
    }

    /// @dev Sends an accepted batch whose only purpose is its root.
    function anchorAt(uint64 seq, bytes32 root) internal {
        StateBridge.Update[] memory us = single(update("anchor", 0, 1));
        StateBridge.Header memory h = headerOf(seq, us);
        h.stateRoot = root;
        send(sealWith(h, us));
    }
}
