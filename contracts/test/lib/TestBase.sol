// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @title Assertions: a failed one reverts with both values, which the test runner reports.
abstract contract TestBase {
    /// @dev Address the runner answers cheatcodes at.
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error NotTrue(string what);
    error UintsDiffer(string what, uint256 got, uint256 want);
    error WordsDiffer(string what, bytes32 got, bytes32 want);

    function isTrue(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    function equal(uint256 got, uint256 want, string memory what) internal pure {
        if (got != want) revert UintsDiffer(what, got, want);
    }

    function equal(bytes32 got, bytes32 want, string memory what) internal pure {
        if (got != want) revert WordsDiffer(what, got, want);
    }

    function equal(address got, address want, string memory what) internal pure {
        equal(bytes32(uint256(uint160(got))), bytes32(uint256(uint160(want))), what);
    }

    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
