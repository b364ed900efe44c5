// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice Outcome of checking a proof. `Invalid` says nothing about the key: the proof does not fit the root.
enum Membership {
    Invalid,
    Present,
    Absent
}

/// @title Proofs of a binary sparse Merkle tree with 256-bit keys, SHA-256, node bytes of the Rust crate `jmt` 0.12.
/// @notice
/// leaf   = SHA256("JMT::LeafNode"    || key hash || value hash)   (13 + 32 + 32 bytes)
/// inner  = SHA256("JMT::IntrnalNode" || left || right)            (16 + 32 + 32 bytes, the missing `e` is jmt's)
/// empty  = ASCII "SPARSE_MERKLE_PLACEHOLDER_HASH__"
/// A subtree with a single leaf is that leaf. Bit d of the key hash, most significant first, picks the side at depth d:
/// 0 = left, 1 = right. `siblings` run from the leaf's level up to the root, so their number is the leaf's depth.
library StateProof {
    bytes32 internal constant EMPTY = "SPARSE_MERKLE_PLACEHOLDER_HASH__";
    uint256 internal constant MAX_DEPTH = 256;

    /// @notice Checks what `root` says about `keyHash`.
    /// @param leafKeyHash,leafValueHash The leaf found at the end of the key's path; both zero for an empty place.
    /// @dev (0, 0) always means "empty" and is folded as the placeholder. A real leaf of key hash zero has some value hash
    /// other than zero and is taken as a leaf; a real leaf (0, 0) would hash to something other than the placeholder, so
    /// claiming it empty gives another root: `Invalid`, never a wrong `Absent`.
    function check(
        bytes32 root,
        bytes32 keyHash,
        bytes32 leafKeyHash,
        bytes32 leafValueHash,
        bytes32[] calldata siblings
    ) internal view returns (Membership) {
        uint256 depth = siblings.length;
        if (depth > MAX_DEPTH) return Membership.Invalid;
        bool empty = leafKeyHash == 0 && leafValueHash == 0;
        bool foreign = !empty && leafKeyHash != keyHash;
        if (foreign && !_sharePath(leafKeyHash, keyHash, depth)) return Membership.Invalid;

        bytes32 node = empty ? EMPTY : _leaf(leafKeyHash, leafValueHash);
        if (_fold(node, keyHash, siblings) != root) return Membership.Invalid;
        return empty || foreign ? Membership.Absent : Membership.Present;
    }

    /// @dev A foreign leaf proves absence only if it sits on the key's own path: the first `depth` bits are equal.
    function _sharePath(bytes32 a, bytes32 b, uint256 depth) private pure returns (bool) {
        // A shift by 256 gives zero, which is right for depth 0: every leaf is on the path of length zero.
        return uint256(a ^ b) >> (MAX_DEPTH - depth) == 0;
    }

    function _leaf(bytes32 keyHash, bytes32 valueHash) private view returns (bytes32 node) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, "JMT::LeafNode")
            mstore(add(p, 13), keyHash)
            mstore(add(p, 45), valueHash)
            // The SHA-256 precompile fails only for want of gas.
            if iszero(staticcall(gas(), 2, p, 77, 0, 32)) { revert(0, 0) }
            node := mload(0)
        }
    }

    /// @dev One buffer for all levels: the prefix stays, left and right are overwritten, the hash returns into its side.
    function _fold(bytes32 node, bytes32 keyHash, bytes32[] calldata siblings) private view returns (bytes32 top) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, "JMT::IntrnalNode")
            top := node
            let n := siblings.length
            // The sibling i levels above the leaf is at depth n-1-i; its bit is bit (256 - n + i) counted from the least.
            for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                let right := and(1, shr(add(sub(256, n), i), keyHash))
                mstore(add(p, add(16, shl(5, right))), top)
                mstore(add(p, sub(48, shl(5, right))), calldataload(add(siblings.offset, shl(5, i))))
                if iszero(staticcall(gas(), 2, p, 80, 0, 32)) { revert(0, 0) }
                top := mload(0)
            }
        }
    }
}
