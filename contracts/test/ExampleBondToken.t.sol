// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ExampleBondToken} from "../src/examples/ExampleBondToken.sol";
import {TestBase} from "./lib/TestBase.sol";

contract ExampleBondTokenTest is TestBase {
    address private constant OWNER = address(0xA11CE);
    address private constant HOLDER = address(0xB0B);
    ExampleBondToken private token;

    function setUp() public {
        token = new ExampleBondToken("Example Bond", "BOND", 3, OWNER);
    }

    function test_the_owner_mints_and_burns_with_transfer_events() public {
        equal(token.decimals(), 3, "decimals");
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Transfer(address(0), HOLDER, 100);
        vm.prank(OWNER);
        token.mint(HOLDER, 100);
        vm.expectEmit(true, true, true, true, address(token));
        emit IERC20.Transfer(HOLDER, address(0), 30);
        vm.prank(OWNER);
        token.burn(HOLDER, 30);
        equal(token.totalSupply(), 70, "supply");
        equal(token.balanceOf(HOLDER), 70, "balance");
    }

    function test_nobody_else_mints_or_burns() public {
        bytes memory denied = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(denied);
        token.mint(address(this), 1);
        vm.expectRevert(denied);
        token.burn(address(this), 0);
    }
}
