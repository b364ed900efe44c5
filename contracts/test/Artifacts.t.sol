// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ExampleBondToken} from "../src/examples/ExampleBondToken.sol";
import {QuorumVerifier} from "../src/QuorumVerifier.sol";
import {StateBridge} from "../src/StateBridge.sol";
import {TestBase} from "./lib/TestBase.sol";

/// @title What is deployed is what these tests ran.
contract ArtifactsTest is TestBase {
    function sameCode(string memory name, bytes memory creationCode) private view {
        string memory artifact = vm.readFile(string.concat("artifacts/", name, ".json"));
        equal(keccak256(vm.parseJsonBytes(artifact, ".bytecode")), keccak256(creationCode), name);
    }

    function test_the_committed_artifacts_are_the_code_under_test() public view {
        sameCode("StateBridge", type(StateBridge).creationCode);
        sameCode("QuorumVerifier", type(QuorumVerifier).creationCode);
        sameCode("ExampleBondToken", type(ExampleBondToken).creationCode);
    }
}
