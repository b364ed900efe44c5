// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IQuorumVerifier, Verdict} from "./IQuorumVerifier.sol";

/// @title The validator sets: who may sign, and how many must.
/// @notice Exactly two sets can be valid: the current one, and for a grace of 7 days the one before it, so that batches
/// already relayed still land. Set ids rise by one; an older set never becomes valid again.
/// Replacing the set is announced: propose, wait `delay`, execute (anybody). The delay is what gives everybody the time to
/// see a malicious owner's proposal; in production it should be two days or more, a test chain may use 0. The opposite
/// case, a stolen validator key, does not wait for it: the owner pauses the bridge at once.
contract QuorumVerifier is IQuorumVerifier, Ownable2Step {
    struct SetInfo {
        uint16 threshold;
        uint64 validUntil; // exclusive, unix seconds; 0 = never valid (unknown, revoked or older than the previous set)
    }

    uint64 public constant GRACE = 7 days;
    uint64 public constant MAX_DELAY = 30 days;
    uint256 public constant MAX_MEMBERS = 32;
    uint256 private constant SIGNATURE_BYTES = 65;

    /// @notice Seconds between the proposal of a set and the moment it can be put in place.
    uint64 public immutable delay;

    uint64 public currentSetId;
    /// @notice When the proposed set can be put in place, unix seconds; 0 = nothing is proposed.
    uint64 public pendingExecutableAt;
    uint16 private _pendingThreshold;
    address[] private _pendingMembers;

    mapping(uint64 setId => SetInfo) private _sets;
    mapping(uint64 setId => mapping(address => bool)) private _isMember;
    mapping(uint64 setId => address[]) private _members;

    event SetProposed(uint64 indexed setId, address[] members, uint16 threshold, uint64 executableAt);
    event SetProposalCancelled(uint64 indexed setId);
    event SetInstalled(uint64 indexed setId, address[] members, uint16 threshold, uint64 previousValidUntil);
    event PreviousSetRevoked(uint64 indexed setId);

    error DelayTooLong(uint64 delay, uint64 max);
    error MemberCount(uint256 count, uint256 max);
    /// @notice Members must be given strictly ascending, which rules out repeats and the zero address.
    error MembersNotAscending(uint256 index);
    error ThresholdOutOfRange(uint16 threshold, uint256 members);
    error ProposalPending(uint64 setId);
    error NothingProposed();
    error TooEarly(uint64 executableAt);
    error NoPreviousSet();
    /// @notice Without an owner a compromised set could never be replaced.
    error RenounceDisabled();

    /// @param members First set (id 1), strictly ascending by address.
    constructor(uint64 delay_, address[] memory members, uint16 threshold, address owner_) Ownable(owner_) {
        if (delay_ > MAX_DELAY) revert DelayTooLong(delay_, MAX_DELAY);
        delay = delay_;
        _requireWellFormed(members, threshold);
        _install(1, members, threshold, 0);
    }

    /// @inheritdoc IQuorumVerifier
    function verify(bytes32 digest, uint64 setId, bytes calldata sigs) external view returns (Verdict) {
        SetInfo memory set = _sets[setId];
        if (block.timestamp >= set.validUntil) return Verdict.SetNotValid;
        uint256 count = sigs.length / SIGNATURE_BYTES;
        if (sigs.length != count * SIGNATURE_BYTES || count < set.threshold) return Verdict.SignaturesInvalid;
        mapping(address => bool) storage isMember = _isMember[setId];
        address last = address(0);
        for (uint256 i = 0; i < count; ++i) {
            address signer = _recover(digest, sigs[i * SIGNATURE_BYTES:(i + 1) * SIGNATURE_BYTES]);
            // Strictly ascending counts nobody twice, starting from zero rejects a failed recovery, and members only means
            // that the loop ends after as many signatures as there are members, however many were given.
            if (signer <= last || !isMember[signer]) return Verdict.SignaturesInvalid;
            last = signer;
        }
        return Verdict.Valid;
    }

    /// @notice Announces the next set. One proposal at a time; cancel it to make another.
    function proposeSet(address[] calldata members, uint16 threshold) external onlyOwner {
        if (pendingExecutableAt != 0) revert ProposalPending(currentSetId + 1);
        _requireWellFormed(members, threshold);
        _pendingMembers = members;
        _pendingThreshold = threshold;
        pendingExecutableAt = uint64(block.timestamp) + delay;
        emit SetProposed(currentSetId + 1, members, threshold, pendingExecutableAt);
    }

    function cancelSet() external onlyOwner {
        if (pendingExecutableAt == 0) revert NothingProposed();
        _clearPending();
        emit SetProposalCancelled(currentSetId + 1);
    }

    /// @notice Puts the proposed set in place. Open to anybody: the owner decided when proposing.
    function executeSet() external {
        if (pendingExecutableAt == 0) revert NothingProposed();
        if (block.timestamp < pendingExecutableAt) revert TooEarly(pendingExecutableAt);
        address[] memory members = _pendingMembers;
        uint16 threshold = _pendingThreshold;
        _clearPending();

        uint64 replaced = currentSetId;
        uint64 previousValidUntil = uint64(block.timestamp) + GRACE;
        // The set before the replaced one ends now, even if its own grace had not run out.
        _sets[replaced - 1].validUntil = 0;
        _sets[replaced].validUntil = previousValidUntil;
        _install(replaced + 1, members, threshold, previousValidUntil);
    }

    /// @notice Ends the previous set's grace at once. Batches signed by it must then be signed again under the current set.
    function revokePrevious() external onlyOwner {
        uint64 previous = currentSetId - 1;
        if (!isSetValid(previous)) revert NoPreviousSet();
        _sets[previous].validUntil = 0;
        emit PreviousSetRevoked(previous);
    }

    function renounceOwnership() public view override onlyOwner {
        revert RenounceDisabled();
    }

    function isSetValid(uint64 setId) public view returns (bool) {
        return block.timestamp < _sets[setId].validUntil;
    }

    /// @notice Members ascending, threshold, and the exclusive end of validity in unix seconds (largest value = current set).
    function setOf(uint64 setId) external view returns (address[] memory members, uint16 threshold, uint64 validUntil) {
        return (_members[setId], _sets[setId].threshold, _sets[setId].validUntil);
    }

    function pendingSet() external view returns (address[] memory members, uint16 threshold, uint64 executableAt) {
        return (_pendingMembers, _pendingThreshold, pendingExecutableAt);
    }

    /// @return The signer, or zero if `signature` (65 bytes) is not a valid one in its low-s form.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        (address signer, ECDSA.RecoverError fault,) =
            ECDSA.tryRecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        return fault == ECDSA.RecoverError.NoError ? signer : address(0);
    }

    function _requireWellFormed(address[] memory members, uint16 threshold) private pure {
        if (members.length == 0 || members.length > MAX_MEMBERS) revert MemberCount(members.length, MAX_MEMBERS);
        if (threshold == 0 || threshold > members.length) revert ThresholdOutOfRange(threshold, members.length);
        address last = address(0);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] <= last) revert MembersNotAscending(i);
            last = members[i];
        }
    }

    function _install(uint64 setId, address[] memory members, uint16 threshold, uint64 previousValidUntil) private {
        currentSetId = setId;
        _sets[setId] = SetInfo({threshold: threshold, validUntil: type(uint64).max});
        _members[setId] = members;
        for (uint256 i = 0; i < members.length; ++i) {
            _isMember[setId][members[i]] = true;
        }
        emit SetInstalled(setId, members, threshold, previousValidUntil);
    }

    function _clearPending() private {
        pendingExecutableAt = 0;
        _pendingThreshold = 0;
        delete _pendingMembers;
    }
}
