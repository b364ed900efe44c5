// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @title The state tree written down as its definition, slow and without assembly: what `StateProof` is tested against.
library ReferenceTree {
    struct Leaf {
        bytes32 keyHash;
        bytes32 valueHash;
    }

    struct Proof {
        bytes32 leafKeyHash;
        bytes32 leafValueHash;
        bytes32[] siblings;
    }

    bytes32 internal constant EMPTY = "SPARSE_MERKLE_PLACEHOLDER_HASH__";

    function leafHash(Leaf memory leaf) internal pure returns (bytes32) {
        return sha256(bytes.concat("JMT::LeafNode", leaf.keyHash, leaf.valueHash));
    }

    function innerHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(bytes.concat("JMT::IntrnalNode", left, right));
    }

    function bit(bytes32 keyHash, uint256 depth) internal pure returns (bool) {
        return (uint256(keyHash) >> (255 - depth)) & 1 == 1;
    }

    function side(Leaf[] memory leaves, uint256 depth, bool right) internal pure returns (Leaf[] memory found) {
        found = new Leaf[](leaves.length);
        uint256 count = 0;
        for (uint256 i = 0; i < leaves.length; ++i) {
            if (bit(leaves[i].keyHash, depth) == right) found[count++] = leaves[i];
        }
        assembly ("memory-safe") {
            mstore(found, count)
        }
    }

    /// @param leaves With key hashes that all differ.
    /// @dev Levels at which all leaves go the same way are walked in a loop: a call per level would overflow the stack.
    function rootOf(Leaf[] memory leaves, uint256 depth) internal pure returns (bytes32 node) {
        if (leaves.length == 0) return EMPTY;
        if (leaves.length == 1) return leafHash(leaves[0]);
        uint256 split = depth;
        Leaf[] memory left = side(leaves, split, false);
        while (left.length == 0 || left.length == leaves.length) {
            left = side(leaves, ++split, false);
        }
        node = innerHash(rootOf(left, split + 1), rootOf(side(leaves, split, true), split + 1));
        for (; split > depth; --split) {
            bool right = bit(leaves[0].keyHash, split - 1);
            node = right ? innerHash(EMPTY, node) : innerHash(node, EMPTY);
        }
    }

    function prove(Leaf[] memory leaves, bytes32 keyHash) internal pure returns (Proof memory proof) {
        bytes32[] memory downwards = new bytes32[](256);
        uint256 depth = 0;
        for (; leaves.length > 1; ++depth) {
            bool right = bit(keyHash, depth);
            downwards[depth] = rootOf(side(leaves, depth, !right), depth + 1);
            leaves = side(leaves, depth, right);
        }
        if (leaves.length == 1) (proof.leafKeyHash, proof.leafValueHash) = (leaves[0].keyHash, leaves[0].valueHash);
        proof.siblings = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            proof.siblings[i] = downwards[depth - 1 - i];
        }
    }
}
