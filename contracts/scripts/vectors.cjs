#!/usr/bin/env node
// Writes test/vectors/{headers,state_proofs}.json: fixed cases that the contracts and the Rust side both check. With an
// argument it writes to <argument>/vectors instead. Shares no code with either side: its own ABI encoding and tree, keccak
// from js-sha3, SHA-256 from node. Signatures come from `cast`, which also computes each digest from the typed data; the
// two digests must agree.
'use strict';
const { createHash } = require('crypto');
const { execFileSync } = require('child_process');
const { mkdirSync, writeFileSync } = require('fs');
const path = require('path');
const { keccak256: keccakHex } = require('js-sha3');

const root = path.join(__dirname, '..');
const cast = path.join(root, 'node_modules/@foundry-rs/cast-linux-amd64/bin/cast');
const bytes = (hex) => Buffer.from(hex.replace(/^0x/, ''), 'hex');
const hex = (buffer) => '0x' + buffer.toString('hex');
const keccak = (buffer) => bytes(keccakHex(buffer));
const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();
const word = (value) => bytes(BigInt(value).toString(16).padStart(64, '0'));
const target = path.join(process.argv[2] ?? path.join(root, 'test'), 'vectors');
mkdirSync(target, { recursive: true });
const write = (name, value) => writeFileSync(path.join(target, name), JSON.stringify(value, null, 2) + '\n');

// --- signed headers ---------------------------------------------------------------------------------------------------

const PRIVATE_KEY = '0x' + '1'.padStart(64, '0');
const SIGNER = '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf'; // the well-known address of private key 1
const CHAIN_ID = 8453;
const CONTRACT = '0x00000000000000000000000000000000000b41d6';
const HEADER_TYPE =
  'Header(uint32 shard,uint64 seq,uint16 part,uint16 parts,uint64 setId,bytes32 updatesHash,bytes32 stateRoot)';
const DOMAIN_TYPE = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)';
const FIELDS = HEADER_TYPE.match(/\((.*)\)/)[1].split(',').map((f) => ({ type: f.split(' ')[0], name: f.split(' ')[1] }));

const domainSeparator = keccak(Buffer.concat([
  keccak(Buffer.from(DOMAIN_TYPE)), keccak(Buffer.from('OSS StateBridge')), keccak(Buffer.from('1')),
  word(CHAIN_ID), word(CONTRACT),
]));

function headerCase(name, header, updates) {
  const encoded = Buffer.concat(updates.flatMap((u) => [bytes(u.asset), word(u.from), word(u.version), bytes(u.stateHash)]));
  header = { ...header, updatesHash: hex(keccak(encoded)) };
  const structHash = keccak(Buffer.concat([keccak(Buffer.from(HEADER_TYPE)), ...FIELDS.map((f) => word(header[f.name]))]));
  const digest = hex(keccak(Buffer.concat([bytes('0x1901'), domainSeparator, structHash])));
  const typed = JSON.stringify({
    types: { EIP712Domain: [{ name: 'name', type: 'string' }, { name: 'version', type: 'string' },
      { name: 'chainId', type: 'uint256' }, { name: 'verifyingContract', type: 'address' }], Header: FIELDS },
    primaryType: 'Header',
    domain: { name: 'OSS StateBridge', version: '1', chainId: CHAIN_ID, verifyingContract: CONTRACT },
    message: header,
  });
  const sign = (...args) =>
    execFileSync(cast, ['wallet', 'sign', '--private-key', PRIVATE_KEY, ...args], { encoding: 'utf8' }).trim();
  const signature = sign('--no-hash', digest);
  if (sign('--data', typed) !== signature) throw new Error(`${name}: the digests of the two encoders differ`);
  return { name, header, updates, encodedUpdates: hex(encoded), structHash: hex(structHash), digest, signature };
}

const asset = (id) => hex(sha256(Buffer.from(`asset/${id}`)));
const content = (n) => hex(sha256(Buffer.from(`content ${n}`)));
const MAX_U64 = '18446744073709551615';
write('headers.json', {
  about: 'EIP-712 headers signed with private key 1 (RFC 6979, low s, 65 bytes r, s, v). 64-bit numbers are decimal strings.',
  privateKey: PRIVATE_KEY, signer: SIGNER, chainId: CHAIN_ID, contract: CONTRACT,
  headerType: HEADER_TYPE, headerTypeHash: hex(keccak(Buffer.from(HEADER_TYPE))), domainSeparator: hex(domainSeparator),
  cases: [
    headerCase('one update of a new asset',
      { shard: 0, seq: '1', part: 0, parts: 1, setId: '1', stateRoot: content('root') },
      [{ asset: asset('bond:US91282CLW90'), from: '0', version: '1', stateHash: content(1) }]),
    headerCase('three updates, the last a rollback that reaches back',
      { shard: 3, seq: '4096', part: 1, parts: 2, setId: '2', stateRoot: content('root 2') },
      [{ asset: asset('stock:ACME'), from: '1', version: '2', stateHash: content(2) },
        { asset: asset('fund:INDEX'), from: '0', version: '3', stateHash: content(3) },
        { asset: asset('bond:US91282CLW90'), from: '1', version: '9', stateHash: content(4) }]),
    headerCase('largest values of every field',
      { shard: 4294967295, seq: MAX_U64, part: 65534, parts: 65535, setId: MAX_U64, stateRoot: '0x' + 'ff'.repeat(32) },
      [{ asset: '0x' + 'ff'.repeat(32), from: '18446744073709551614', version: MAX_U64, stateHash: '0x' + 'ff'.repeat(32) }]),
  ],
});

// --- state proofs -----------------------------------------------------------------------------------------------------

const EMPTY = Buffer.from('SPARSE_MERKLE_PLACEHOLDER_HASH__');
const ZERO = '0x' + '0'.repeat(64);
const bit = (keyHash, depth) => (keyHash[depth >> 3] >> (7 - (depth & 7))) & 1;
const leafHash = (leaf) => sha256(Buffer.from('JMT::LeafNode'), leaf.keyHash, leaf.valueHash);
const side = (leaves, depth, wanted) => leaves.filter((leaf) => bit(leaf.keyHash, depth) === wanted);

function nodeHash(leaves, depth) {
  if (leaves.length === 0) return EMPTY;
  if (leaves.length === 1) return leafHash(leaves[0]);
  return sha256(Buffer.from('JMT::IntrnalNode'),
    nodeHash(side(leaves, depth, 0), depth + 1), nodeHash(side(leaves, depth, 1), depth + 1));
}

function prove(leaves, keyHash) {
  const siblings = [];
  let depth = 0;
  for (; leaves.length > 1; depth++) {
    const turn = bit(keyHash, depth);
    siblings.unshift(hex(nodeHash(side(leaves, depth, 1 - turn), depth + 1)));
    leaves = side(leaves, depth, turn);
  }
  const leaf = leaves[0];
  return { leafKeyHash: leaf ? hex(leaf.keyHash) : ZERO, leafValueHash: leaf ? hex(leaf.valueHash) : ZERO, siblings };
}

const makeLeaf = (key, value) => ({ key, value, keyHash: sha256(Buffer.from(key)), valueHash: sha256(Buffer.from(value)) });
const keys = Array.from({ length: 24 }, (_, i) => `asset/bond:VECTOR-${i}`);
const leaves = keys.map((key, i) => makeLeaf(key, `value ${i}`));
const treeRoot = hex(nodeHash(leaves, 0));

function proofCase(name, expect, key, change = {}, over = leaves) {
  const keyHash = sha256(Buffer.from(key));
  return { name, expect, root: hex(nodeHash(over, 0)), key, keyHash: hex(keyHash), ...prove(over, keyHash), ...change };
}
// The first absent key that ends at an empty place, and the first that ends at somebody else's leaf.
const absent = (wantEmpty) => {
  for (let i = 0; ; i++) {
    const key = `asset/bond:ABSENT-${i}`;
    if ((prove(leaves, sha256(Buffer.from(key))).leafKeyHash === ZERO) === wantEmpty) return key;
  }
};
const present = proofCase('', '', keys[7]);
const stranger = proofCase('', '', keys[8]);
const emptyKey = absent(true);
const foreignKey = absent(false);
write('state_proofs.json', {
  about: 'Sparse Merkle tree proofs; the first tree holds `leaves`. Hashes are SHA-256 of the ASCII strings. expect: present, absent, invalid.',
  leaves: leaves.map((l) => ({ key: l.key, value: l.value, keyHash: hex(l.keyHash), valueHash: hex(l.valueHash) })),
  root: treeRoot,
  cases: [
    ...keys.map((key, i) => proofCase(`leaf ${i} is present`, 'present', key)),
    proofCase('absent, the path ends at an empty place', 'absent', emptyKey),
    proofCase('absent, the path ends at a foreign leaf', 'absent', foreignKey),
    proofCase('absent from the empty tree', 'absent', keys[0], {}, []),
    proofCase('present in a tree of one leaf', 'present', keys[0], {}, leaves.slice(0, 1)),
    proofCase('absent from a tree of one leaf', 'absent', keys[1], {}, leaves.slice(0, 1)),
    proofCase('another value', 'invalid', keys[7], { leafValueHash: hex(sha256(Buffer.from('other'))) }),
    proofCase('a present key claimed empty', 'invalid', keys[7], { leafKeyHash: ZERO, leafValueHash: ZERO }),
    proofCase('a present key claimed absent by a stranger\'s leaf and path', 'invalid', keys[7],
      { leafKeyHash: stranger.leafKeyHash, leafValueHash: stranger.leafValueHash, siblings: stranger.siblings }),
    proofCase('one sibling short', 'invalid', keys[7], { siblings: present.siblings.slice(1) }),
    proofCase('one sibling too many', 'invalid', keys[7], { siblings: [hex(EMPTY), ...present.siblings] }),
    proofCase('siblings from the root down', 'invalid', keys[7], { siblings: [...present.siblings].reverse() }),
  ],
});
