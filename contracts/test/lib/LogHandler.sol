// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {StateBridge} from "../../src/StateBridge.sol";
import {BridgeFixture} from "./BridgeFixture.sol";
import {Vm} from "./Vm.sol";

/// @title A log that grows at random and two chains it is delivered to at random: order, repeats, omissions, `skip`.
/// @notice The actions are called by the test runner with random arguments. What must hold at every landing is checked
/// here; what must hold at the end is `settle`.
contract LogHandler is BridgeFixture {
    struct Logged {
        uint64 from;
        uint64 version;
        bool isRevert;
    }

    struct Outcomes {
        uint256 applied;
        uint256 stale;
        uint256 deferred;
        uint256 covered; // updates left out because a REVERT covers them
        uint256 superseded; // landed versions that a covering REVERT then replaced
        uint256 reverts;
        uint256 overlapping; // REVERTs that cover an earlier REVERT
        uint256 jumps; // entries that take an asset up by several versions
    }

    uint256 private constant ASSETS = 3;
    uint256 private constant CHAINS = 2;
    uint256 private constant ENTRIES_MAX = 24;

    StateBridge[CHAINS] public chains;
    Outcomes private _outcomes;
    uint256 public entries;
    mapping(uint256 assetIndex => Logged[]) private _log;
    /// @dev Per entry and chain the signed batch, encoded.
    mapping(uint256 entry => mapping(uint256 chain => bytes)) private _batches;

    constructor() {
        deploy();
        chains[0] = bridge;
        chains[1] = new StateBridge(verifier, OWNER);
    }

    function outcomes() external view returns (Outcomes memory) {
        return _outcomes;
    }

    function assetAt(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("asset", i));
    }

    function lastVersion(uint256 a) public view returns (uint64) {
        uint256 n = _log[a].length;
        return n == 0 ? 0 : _log[a][n - 1].version;
    }

    // --- the log ------------------------------------------------------------------------------------------------------

    /// @notice An entry that takes some assets up by one to three versions each.
    function commit(uint256 seed) external {
        if (entries == ENTRIES_MAX) return;
        uint256 mask = bound(seed, 1, (1 << ASSETS) - 1);
        for (uint256 a = 0; a < ASSETS; ++a) {
            if (mask & (1 << a) == 0) continue;
            uint64 step = uint64(bound(seed >> (8 + 8 * a), 1, 3));
            if (step > 1) ++_outcomes.jumps;
            _log[a].push(Logged(lastVersion(a), lastVersion(a) + step, false));
        }
        _seal(mask);
    }

    /// @notice A REVERT that undoes, for some assets, everything from some logged update on.
    function undo(uint256 seed) external {
        if (entries == ENTRIES_MAX) return;
        uint256 mask = 0;
        for (uint256 a = 0; a < ASSETS; ++a) {
            uint256 n = _log[a].length;
            if (n == 0 || (seed >> a) & 1 == 0) continue;
            mask |= 1 << a;
            _log[a].push(Logged(_revertFrom(a, bound(seed >> (8 + 8 * a), 0, n - 1)), lastVersion(a) + 1, true));
            ++_outcomes.reverts;
            if (_coversAnEarlierRevert(a)) ++_outcomes.overlapping;
        }
        if (mask != 0) _seal(mask);
    }

    /// @dev The lowest `from` of all updates that carry what update `k` brought: itself, and every REVERT that spans it.
    function _revertFrom(uint256 a, uint256 k) private view returns (uint64 from) {
        from = _log[a][k].from;
        for (uint256 i = _log[a].length; i > 0; --i) {
            Logged storage l = _log[a][i - 1];
            if (l.from < from && from < l.version) from = l.from;
        }
    }

    function _coversAnEarlierRevert(uint256 a) private view returns (bool) {
        uint256 n = _log[a].length;
        for (uint256 i = 0; i + 1 < n; ++i) {
            if (_log[a][i].isRevert && _covers(_log[a][n - 1], _log[a][i])) return true;
        }
        return false;
    }

    function _covers(Logged storage by, Logged storage l) private view returns (bool) {
        return by.isRevert && l.from >= by.from && l.version < by.version;
    }

    function _isCovered(uint256 a, uint64 version) private view returns (bool) {
        Logged[] storage log = _log[a];
        for (uint256 i = 0; i < log.length; ++i) {
            if (log[i].version != version) continue;
            for (uint256 j = i + 1; j < log.length; ++j) {
                if (_covers(log[j], log[i])) return true;
            }
        }
        return false;
    }

    function _seal(uint256 mask) private {
        StateBridge.Update[] memory us = new StateBridge.Update[](_ones(mask));
        uint256 n = 0;
        for (uint256 a = 0; a < ASSETS; ++a) {
            if (mask & (1 << a) == 0) continue;
            Logged storage l = _log[a][_log[a].length - 1];
            us[n++] = update(assetAt(a), l.from, l.version);
        }
        for (uint256 c = 0; c < CHAINS; ++c) {
            bridge = chains[c];
            StateBridge.SignedBatch memory b = signed(uint64(entries + 1), us);
            _batches[entries][c] = abi.encode(b);
        }
        ++entries;
    }

    function _ones(uint256 mask) private pure returns (uint256 n) {
        for (; mask != 0; mask >>= 1) {
            n += mask & 1;
        }
    }

    // --- delivery -----------------------------------------------------------------------------------------------------

    /// @notice Delivers one entry, leaving out what is covered (`obey`), nothing (a leak, by anybody) or at random.
    function deliver(uint256 chain, uint256 entry, uint256 mode, uint64 skip) external {
        if (entries == 0) return;
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](1);
        batches[0] = _batch(chain % CHAINS, entry % entries, mode, skip);
        _land(chain % CHAINS, batches);
    }

    /// @notice Several entries in one transaction, in any order, repeats and a forged one among them.
    function deliverMany(uint256 chain, uint256 seed, uint256 mode, uint64 skip) external {
        if (entries == 0) return;
        StateBridge.SignedBatch[] memory batches = new StateBridge.SignedBatch[](bound(seed, 2, 6));
        for (uint256 i = 0; i < batches.length; ++i) {
            batches[i] = _batch(chain % CHAINS, (seed >> (8 * i + 8)) % entries, mode, skip);
        }
        StateBridge.SignedBatch memory forged = batches[(seed >> 64) % batches.length];
        if (mode & 4 == 0) forged.us[0].version = type(uint64).max;
        else forged.h.stateRoot = "forged";
        _land(chain % CHAINS, batches);
    }

    function _batch(uint256 chain, uint256 entry, uint256 mode, uint64 skip)
        private
        returns (StateBridge.SignedBatch memory b)
    {
        b = abi.decode(_batches[entry][chain], (StateBridge.SignedBatch));
        if (mode % 3 == 0) return b;
        if (mode % 3 == 1) b.skip = skip;
        else _obey(b);
    }

    function _obey(StateBridge.SignedBatch memory b) private {
        for (uint256 i = 0; i < b.us.length; ++i) {
            if (!_isCovered(_indexOf(b.us[i].asset), b.us[i].version)) continue;
            b.skip |= uint64(1 << i);
            ++_outcomes.covered;
        }
    }

    function _indexOf(bytes32 asset) private pure returns (uint256 a) {
        while (assetAt(a) != asset) {
            ++a;
        }
    }

    /// @dev One call per batch would hide what several in one transaction do, so the events are read afterwards.
    function _land(uint256 chain, StateBridge.SignedBatch[] memory batches) private {
        uint64[ASSETS] memory current;
        for (uint256 a = 0; a < ASSETS; ++a) {
            (current[a],) = chains[chain].assetState(assetAt(a));
        }
        vm.recordLogs();
        chains[chain].applyBatches(batches);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == StateBridge.StateUpdated.selector) {
                (uint64 version, bytes32 stateHash) = abi.decode(logs[i].data, (uint64, bytes32));
                uint256 a = _indexOf(logs[i].topics[1]);
                _checkLanding(a, current[a], version);
                equal(stateHash, contentOf(logs[i].topics[1], version), "the state hash is the version's own");
                current[a] = version;
            } else if (logs[i].topics[0] == StateBridge.BatchApplied.selector) {
                (,, uint64 applied, uint64 stale, uint64 deferred,) =
                    abi.decode(logs[i].data, (uint16, uint16, uint64, uint64, uint64, uint64));
                _outcomes.applied += _ones(applied);
                _outcomes.stale += _ones(stale);
                _outcomes.deferred += _ones(deferred);
            }
        }
        for (uint256 a = 0; a < ASSETS; ++a) {
            (uint64 version,) = chains[chain].assetState(assetAt(a));
            equal(version, current[a], "only what was reported has changed");
        }
    }

    /// @dev A landing takes an asset from `current` to a logged `version`; every logged version between them is covered by
    /// what landed (nothing is lost), and nothing that an applied REVERT covers comes after it (versions only rise).
    function _checkLanding(uint256 a, uint64 current, uint64 version) private {
        isTrue(version > current, "the version rises");
        Logged[] storage log = _log[a];
        uint256 landed = log.length;
        for (uint256 i = 0; i < log.length; ++i) {
            if (log[i].version == version) landed = i;
        }
        isTrue(landed < log.length, "the version is in the log");
        for (uint256 i = 0; i < landed; ++i) {
            if (log[i].version > current) isTrue(_covers(log[landed], log[i]), "a version was jumped over");
            if (log[i].version == current && _covers(log[landed], log[i])) ++_outcomes.superseded;
        }
    }

    // --- the end ------------------------------------------------------------------------------------------------------

    /// @notice Delivers everything that is not covered, in a random order until a whole pass changes nothing, and checks that each chain then
    /// holds the log's last version of each asset.
    function settle(uint256 seed) external {
        if (entries == 0) return;
        for (uint256 c = 0; c < CHAINS; ++c) {
            uint256 appliedBefore = type(uint256).max;
            for (uint256 pass = 0; appliedBefore != _outcomes.applied; ++pass) {
                appliedBefore = _outcomes.applied;
                uint256 stride = seed % entries;
                for (uint256 i = 0; i < entries; ++i) {
                    // Odd passes run backwards: the order in which most is deferred.
                    uint256 entry = (pass % 2 == 0 ? i : entries - 1 - i) + stride;
                    StateBridge.SignedBatch[] memory one = new StateBridge.SignedBatch[](1);
                    one[0] = _batch(c, entry % entries, 2, 0);
                    _land(c, one);
                }
            }
            for (uint256 a = 0; a < ASSETS; ++a) {
                (uint64 version, bytes32 stateHash) = chains[c].assetState(assetAt(a));
                equal(version, lastVersion(a), "the log's last version");
                if (version != 0) equal(stateHash, contentOf(assetAt(a), version), "its content");
            }
        }
    }
}
