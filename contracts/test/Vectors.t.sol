// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Verdict} from "../src/IQuorumVerifier.sol";
import {QuorumVerifier} from "../src/QuorumVerifier.sol";
import {Membership} from "../src/StateProof.sol";
import {StateBridge} from "../src/StateBridge.sol";
import {BridgeFixture} from "./lib/BridgeFixture.sol";
import {ReferenceTree} from "./lib/ReferenceTree.sol";

/// @title The shared vectors: what the Rust side signs and proves is what the contracts accept.
contract VectorsTest is BridgeFixture {
    using ReferenceTree for ReferenceTree.Leaf[];

    string private headers;
    string private proofs;

    function setUp() public {
        deploy();
        headers = vm.readFile("test/vectors/headers.json");
        proofs = vm.readFile("test/vectors/state_proofs.json");
    }

    function header(string memory entry) private view returns (StateBridge.Header memory h) {
        string memory path = string.concat(entry, ".header");
        h.shard = uint32(vm.parseJsonUint(headers, string.concat(path, ".shard")));
        h.seq = uint64(vm.parseJsonUint(headers, string.concat(path, ".seq")));
        h.part = uint16(vm.parseJsonUint(headers, string.concat(path, ".part")));
        h.parts = uint16(vm.parseJsonUint(headers, string.concat(path, ".parts")));
        h.setId = uint64(vm.parseJsonUint(headers, string.concat(path, ".setId")));
        h.updatesHash = vm.parseJsonBytes32(headers, string.concat(path, ".updatesHash"));
        h.stateRoot = vm.parseJsonBytes32(headers, string.concat(path, ".stateRoot"));
    }

    function updates(string memory entry, uint256 count) private view returns (StateBridge.Update[] memory us) {
        us = new StateBridge.Update[](count);
        for (uint256 i = 0; i < count; ++i) {
            string memory path = string.concat(entry, ".updates[", vm.toString(i), "]");
            us[i].asset = vm.parseJsonBytes32(headers, string.concat(path, ".asset"));
            us[i].from = uint64(vm.parseJsonUint(headers, string.concat(path, ".from")));
            us[i].version = uint64(vm.parseJsonUint(headers, string.concat(path, ".version")));
            us[i].stateHash = vm.parseJsonBytes32(headers, string.concat(path, ".stateHash"));
        }
    }

    function test_the_signed_headers_are_accepted_on_their_chain_and_contract() public {
        address[] memory one = new address[](1);
        one[0] = vm.parseJsonAddress(headers, ".signer");
        equal(one[0], vm.addr(uint256(vm.parseJsonBytes32(headers, ".privateKey"))), "signer");
        verifier = new QuorumVerifier(0, one, 1, OWNER);
        bridge = new StateBridge(verifier, OWNER);
        StateBridge home = StateBridge(vm.parseJsonAddress(headers, ".contract"));
        vm.etch(address(home), address(bridge).code);
        bridge = home;
        vm.chainId(vm.parseJsonUint(headers, ".chainId"));
        equal(bridge.HEADER_TYPEHASH(), vm.parseJsonBytes32(headers, ".headerTypeHash"), "type hash");

        uint256[3] memory counts = [uint256(1), 3, 1];
        for (uint256 i = 0; i < counts.length; ++i) {
            string memory entry = string.concat(".cases[", vm.toString(i), "]");
            StateBridge.Header memory h = header(entry);
            StateBridge.Update[] memory us = updates(entry, counts[i]);
            bytes32 digest = vm.parseJsonBytes32(headers, string.concat(entry, ".digest"));
            bytes memory sig = vm.parseJsonBytes(headers, string.concat(entry, ".signature"));
            equal(hashOf(us), h.updatesHash, "updates hash");
            equal(bridge.digestOf(h), digest, "digest");
            equal(keccak256(signature(1, digest)), keccak256(sig), "signature by RFC 6979");
            Verdict want = i == 0 ? Verdict.Valid : Verdict.SetNotValid;
            equal(uint256(verifier.verify(digest, h.setId, sig)), uint256(want), "verdict");
            equal(ecrecoverOf(digest, sig), one[0], "recovers");
            if (i == 0) {
                expectApplied(h, [uint64(1), 0, 0, 0]);
                send(StateBridge.SignedBatch(h, us, sig, 0));
            }
        }
    }

    function ecrecoverOf(bytes32 digest, bytes memory sig) private pure returns (address) {
        bytes32 r;
        bytes32 s;
        assembly ("memory-safe") {
            r := mload(add(sig, 32))
            s := mload(add(sig, 64))
        }
        return ecrecover(digest, uint8(sig[64]), r, s);
    }

    function test_the_state_proofs_are_judged_as_they_say() public {
        uint256 count = 35;
        uint256[3] memory seen;
        for (uint256 i = 0; i < count; ++i) {
            string memory entry = string.concat(".cases[", vm.toString(i), "]");
            bytes32 expected = keccak256(bytes(vm.parseJsonString(proofs, string.concat(entry, ".expect"))));
            Membership want = Membership.Invalid;
            if (expected == keccak256("present")) want = Membership.Present;
            if (expected == keccak256("absent")) want = Membership.Absent;
            seen[uint256(want)] += 1;
            anchorAt(uint64(i + 1), vm.parseJsonBytes32(proofs, string.concat(entry, ".root")));
            bytes32 keyHash = vm.parseJsonBytes32(proofs, string.concat(entry, ".keyHash"));
            string memory key = vm.parseJsonString(proofs, string.concat(entry, ".key"));
            equal(sha256(bytes(key)), keyHash, "key hash");
            Membership got = bridge.proveState(
                SHARD,
                uint64(i + 1),
                keyHash,
                vm.parseJsonBytes32(proofs, string.concat(entry, ".leafKeyHash")),
                vm.parseJsonBytes32(proofs, string.concat(entry, ".leafValueHash")),
                vm.parseJsonBytes32Array(proofs, string.concat(entry, ".siblings"))
            );
            equal(uint256(got), uint256(want), vm.parseJsonString(proofs, string.concat(entry, ".name")));
        }
        isTrue(seen[0] >= 5 && seen[1] >= 20 && seen[2] >= 4, "the file holds cases of each kind");
    }

    function test_the_vectors_root_is_the_reference_trees() public view {
        ReferenceTree.Leaf[] memory leaves = new ReferenceTree.Leaf[](24);
        for (uint256 i = 0; i < leaves.length; ++i) {
            string memory entry = string.concat(".leaves[", vm.toString(i), "]");
            leaves[i].keyHash = vm.parseJsonBytes32(proofs, string.concat(entry, ".keyHash"));
            leaves[i].valueHash = vm.parseJsonBytes32(proofs, string.concat(entry, ".valueHash"));
        }
        equal(leaves.rootOf(0), vm.parseJsonBytes32(proofs, ".root"), "root");
    }
}
