// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What a verifier says about a set of signatures. Zero is never "valid", so an empty answer is a refusal.
enum Verdict {
    SignaturesInvalid,
    Valid,
    SetNotValid
}

/// @title Judges whether a validator set signed a digest.
interface IQuorumVerifier {
    /// @param digest EIP-712 digest that was signed.
    /// @param setId The validator set the signers claim to belong to; part of the signed header.
    /// @param sigs Concatenated 65-byte signatures (r, s, v), signers strictly ascending by address.
    /// @return `Valid` only if at least the set's threshold of its members signed and nobody else did.
    /// @dev Must not revert for any `sigs`: one bad batch may not sink the others of a transaction.
    function verify(bytes32 digest, uint64 setId, bytes calldata sigs) external view returns (Verdict);
}
