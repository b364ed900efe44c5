// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IQuorumVerifier, Verdict} from "./IQuorumVerifier.sol";
import {Membership, StateProof} from "./StateProof.sol";

/// @title One chain's copy of the state: version and state hash per asset, and the newest state roots per shard.
/// @notice In: batches of updates, signed by the validators, relayed by anybody. Out: events, `assetState`, `proveState`.
/// The rule, per update: applied iff `from <= current < version`. With it batches may come in any order, repeatedly and
/// from anybody: an asset's version only rises, nothing is applied twice, and a rollback's update (which reaches back by
/// its `from`) supersedes what it undoes whether that had landed or not.
contract StateBridge is EIP712, Ownable2Step, Pausable {
    /// @notice What the validators sign (EIP-712, this chain and this contract).
    /// @param seq The log entry of `shard` the updates come from; entries count from 1.
    /// @param part,parts Position of this batch among the entry's batches for this chain.
    /// @param updatesHash keccak256 of the updates' 128-byte encodings, concatenated in order.
    /// @param stateRoot State root of the shard after the entry.
    struct Header {
        uint32 shard;
        uint64 seq;
        uint16 part;
        uint16 parts;
        uint64 setId;
        bytes32 updatesHash;
        bytes32 stateRoot;
    }

    /// @param asset Key hash of the asset's leaf in the state tree.
    /// @param from Lowest version this update may follow.
    /// @param version Version the asset has after it.
    /// @param stateHash Value hash of the asset's leaf at that version.
    struct Update {
        bytes32 asset;
        uint64 from;
        uint64 version;
        bytes32 stateHash;
    }

    /// @param skip Bit i leaves update i out. Not signed: leaving out too much only delays, as anybody may send the same
    /// batch again without it.
    struct SignedBatch {
        Header h;
        Update[] us;
        bytes sigs;
        uint64 skip;
    }

    /// @notice Why a batch was passed over. `None` is never emitted.
    enum Rejection {
        None,
        UpdateCount, // not 1..50 updates
        PartOutOfRange, // part >= parts
        UpdatesHashMismatch, // the updates are not the ones the header names
        SetNotValid, // the header's validator set is unknown, expired or revoked
        SignaturesInvalid, // malformed, out of order, of a non-member, or fewer than the threshold
        VerifierFailed // the verifier reverted or ran out of gas
    }

    struct AssetState {
        uint256 version; // a whole slot, so that writing it needs no reading and masking; never above 64 bits
        bytes32 stateHash;
    }

    struct AnchoredRoot {
        uint64 seq;
        bytes32 root;
    }

    struct ShardRoots {
        uint64 latest;
        AnchoredRoot[1024] ring;
    }

    uint256 public constant MAX_UPDATES = 50;
    uint256 public constant ROOTS_KEPT = 1024;
    bytes32 public constant HEADER_TYPEHASH = keccak256(
        "Header(uint32 shard,uint64 seq,uint16 part,uint16 parts,uint64 setId,bytes32 updatesHash,bytes32 stateRoot)"
    );

    IQuorumVerifier public immutable verifier;

    mapping(bytes32 asset => AssetState) private _assets;
    mapping(uint32 shard => ShardRoots) private _roots;

    /// @notice An accepted batch; bit i of a mask speaks of update i, and every update is in exactly one mask.
    event BatchApplied(
        uint32 indexed shard,
        uint64 indexed seq,
        uint16 part,
        uint16 parts,
        uint64 applied,
        uint64 stale,
        uint64 deferred,
        uint64 skipped
    );
    /// @notice A batch that was passed over; `index` is its position in the call.
    event BatchRejected(uint256 indexed index, uint32 shard, uint64 seq, uint16 part, Rejection reason);
    event StateUpdated(bytes32 indexed asset, uint64 version, bytes32 stateHash);

    /// @notice The root of that entry was never anchored here, or a newer one has taken its slot.
    error RootNotKept(uint32 shard, uint64 seq);
    error VerifierHasNoCode(address verifier);
    /// @notice An ownerless bridge could stay paused for ever.
    error RenounceDisabled();

    constructor(IQuorumVerifier verifier_, address owner_) EIP712("OSS StateBridge", "1") Ownable(owner_) {
        if (address(verifier_).code.length == 0) revert VerifierHasNoCode(address(verifier_));
        verifier = verifier_;
    }

    /// @notice Applies every batch that is well signed and passes over the others. No content of a batch reverts the call;
    /// only a pause does, and calldata that is no ABI encoding of `batches` (the sender's own mistake: batches are values,
    /// the sender encodes them).
    function applyBatches(SignedBatch[] calldata batches) external whenNotPaused {
        for (uint256 i = 0; i < batches.length; ++i) {
            SignedBatch calldata b = batches[i];
            Rejection reason = _check(b);
            if (reason == Rejection.None) {
                _apply(b.h, b.us, b.skip);
                _anchor(b.h.shard, b.h.seq, b.h.stateRoot);
            } else {
                emit BatchRejected(i, b.h.shard, b.h.seq, b.h.part, reason);
            }
        }
    }

    function pause() external onlyOwner {
        _pause();
    }

    function unpause() external onlyOwner {
        _unpause();
    }

    function renounceOwnership() public view override onlyOwner {
        revert RenounceDisabled();
    }

    /// @notice Version 0 = no update of the asset has landed here.
    function assetState(bytes32 asset) external view returns (uint64 version, bytes32 stateHash) {
        AssetState storage s = _assets[asset];
        return (uint64(s.version), s.stateHash);
    }

    /// @notice The state root after entry `seq`; `kept` is false if it was never anchored or its slot was reused.
    function rootOf(uint32 shard, uint64 seq) public view returns (bool kept, bytes32 root) {
        AnchoredRoot storage slot = _roots[shard].ring[seq % ROOTS_KEPT];
        kept = seq != 0 && slot.seq == seq;
        if (kept) root = slot.root;
    }

    /// @notice Highest entry anchored for the shard and its root; (0, 0) before the first.
    function latest(uint32 shard) external view returns (uint64 seq, bytes32 root) {
        seq = _roots[shard].latest;
        // The highest entry always owns its slot: only a higher one could take it.
        (, root) = rootOf(shard, seq);
    }

    /// @notice The EIP-712 digest the validators sign for a header.
    function digestOf(Header calldata h) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(HEADER_TYPEHASH, h)));
    }

    /// @notice What the state root after entry `seq` says about a key; works while paused. See `StateProof` for the format.
    /// @dev Reverts with `RootNotKept` if the root is not in the ring.
    function proveState(
        uint32 shard,
        uint64 seq,
        bytes32 keyHash,
        bytes32 leafKeyHash,
        bytes32 leafValueHash,
        bytes32[] calldata siblings
    ) external view returns (Membership) {
        (bool kept, bytes32 root) = rootOf(shard, seq);
        if (!kept) revert RootNotKept(shard, seq);
        return StateProof.check(root, keyHash, leafKeyHash, leafValueHash, siblings);
    }

    function _check(SignedBatch calldata b) private view returns (Rejection) {
        Update[] calldata us = b.us;
        if (us.length == 0 || us.length > MAX_UPDATES) return Rejection.UpdateCount;
        if (b.h.part >= b.h.parts) return Rejection.PartOutOfRange;
        if (_hashUpdates(us) != b.h.updatesHash) return Rejection.UpdatesHashMismatch;

        // A low-level call, because a typed one would revert here on an answer it cannot decode.
        (bool success, bytes memory answer) =
            address(verifier).staticcall(abi.encodeCall(verifier.verify, (digestOf(b.h), b.h.setId, b.sigs)));
        if (!success || answer.length != 32) return Rejection.VerifierFailed;
        uint256 verdict = abi.decode(answer, (uint256));
        if (verdict == uint256(Verdict.Valid)) return Rejection.None;
        return verdict == uint256(Verdict.SetNotValid) ? Rejection.SetNotValid : Rejection.SignaturesInvalid;
    }

    /// @dev Updates have a fixed size and lie in calldata one after the other in exactly the form that is hashed.
    function _hashUpdates(Update[] calldata us) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            let size := shl(7, us.length)
            calldatacopy(p, us.offset, size)
            hash := keccak256(p, size)
        }
    }

    function _apply(Header calldata h, Update[] calldata us, uint64 skip) private {
        uint64 applied;
        uint64 stale;
        uint64 deferred;
        uint64 skipped;
        for (uint256 i = 0; i < us.length; ++i) {
            uint64 bit = uint64(1 << i);
            if (skip & bit != 0) {
                skipped |= bit;
                continue;
            }
            Update calldata u = us[i];
            (bytes32 asset, uint64 version) = (u.asset, u.version);
            AssetState storage s = _assets[asset];
            uint256 current = s.version;
            if (current >= version) {
                stale |= bit;
            } else if (current < u.from) {
                deferred |= bit;
            } else {
                applied |= bit;
                bytes32 stateHash = u.stateHash;
                s.version = version;
                s.stateHash = stateHash;
                emit StateUpdated(asset, version, stateHash);
            }
        }
        emit BatchApplied(h.shard, h.seq, h.part, h.parts, applied, stale, deferred, skipped);
    }

    /// @dev An older entry never takes the slot of a newer one, whatever the order of arrival.
    function _anchor(uint32 shard, uint64 seq, bytes32 root) private {
        ShardRoots storage roots = _roots[shard];
        AnchoredRoot storage slot = roots.ring[seq % ROOTS_KEPT];
        if (seq <= slot.seq) return;
        slot.seq = seq;
        slot.root = root;
        if (seq > roots.latest) roots.latest = seq;
    }
}
