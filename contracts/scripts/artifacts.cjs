// In: forge's output folder and a target folder. Out: one JSON file per deployed contract,
// {contractName, abi, bytecode, deployedBytecode, compiler: {version, settings}}, keys in this order, two spaces, LF.
'use strict';
const { mkdirSync, readFileSync, writeFileSync } = require('fs');
const path = require('path');

const CONTRACTS = ['StateBridge', 'QuorumVerifier', 'ExampleBondToken'];
const [out, target] = process.argv.slice(2);
mkdirSync(target, { recursive: true });
for (const name of CONTRACTS) {
  const built = JSON.parse(readFileSync(path.join(out, `${name}.sol`, `${name}.json`), 'utf8'));
  const { compiler, settings } = JSON.parse(built.rawMetadata);
  if (Object.keys(built.bytecode.linkReferences).length > 0) throw new Error(`${name} needs linking`);
  const artifact = {
    contractName: name,
    abi: built.abi,
    bytecode: built.bytecode.object,
    deployedBytecode: built.deployedBytecode.object,
    compiler: {
      version: compiler.version,
      settings: {
        evmVersion: settings.evmVersion,
        optimizer: settings.optimizer,
        viaIR: settings.viaIR ?? false,
        metadata: settings.metadata,
      },
    },
  };
  writeFileSync(path.join(target, `${name}.json`), JSON.stringify(artifact, null, 2) + '\n');
}
