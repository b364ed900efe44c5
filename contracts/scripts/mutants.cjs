#!/usr/bin/env node
// The negative control of the tests: switches one guard off at a time in a copy of the sources and expects a failing test.
// Prints one line per guard; exits non-zero if a mutant survives or no longer fits the source: its text must stand there exactly once.
// Usage: mutants.cjs [text]: only the mutants whose name contains the text, with every test.
//        mutants.cjs --quick: every mutant's fit, and those of the apply rule and of the signatures against their contract's own tests.
'use strict';
const { spawnSync } = require('child_process');
const { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } = require('fs');
const { tmpdir } = require('os');
const path = require('path');

const root = path.join(__dirname, '..');
const BRIDGE = 'src/StateBridge.sol';
const VERIFIER = 'src/QuorumVerifier.sol';
const PROOF = 'src/StateProof.sol';
const MUTANTS = [
  // [name, file, text, replacement]
  ['current < version', BRIDGE, 'if (current >= version) {', 'if (current > version) {'],
  ['current < version, wholly', BRIDGE, 'if (current >= version) {', 'if (false) {'],
  ['from <= current', BRIDGE, 'else if (current < u.from) {', 'else if (false) {'],
  ['from <= current, off by one', BRIDGE, 'else if (current < u.from) {', 'else if (current <= u.from) {'],
  ['skip', BRIDGE, 'if (skip & bit != 0) {', 'if (false) {'],
  ['at least one update', BRIDGE, 'us.length == 0 || ', ''],
  ['at most fifty updates', BRIDGE, 'us.length == 0 || us.length > MAX_UPDATES', 'us.length == 0'],
  ['part < parts', BRIDGE, 'if (b.h.part >= b.h.parts) return Rejection.PartOutOfRange;', ''],
  ['updates hash', BRIDGE, 'if (_hashUpdates(us) != b.h.updatesHash) return Rejection.UpdatesHashMismatch;', ''],
  ['verdict', BRIDGE, 'if (verdict == uint256(Verdict.Valid)) return Rejection.None;', 'return Rejection.None;'],
  ['verifier failure', BRIDGE, '!success || answer.length != 32', 'answer.length != 32'],
  ['answer length', BRIDGE, '!success || answer.length != 32', '!success'],
  ['set not valid is told apart', BRIDGE, 'verdict == uint256(Verdict.SetNotValid) ?', 'false ?'],
  ['ring keeps the newer', BRIDGE, 'if (seq <= slot.seq) return;', ''],
  ['latest only rises', BRIDGE, 'if (seq > roots.latest) roots.latest', 'roots.latest'],
  ['slot belongs to the entry', BRIDGE, 'kept = seq != 0 && slot.seq == seq;', 'kept = seq != 0;'],
  ['entry zero', BRIDGE, 'kept = seq != 0 && slot.seq == seq;', 'kept = slot.seq == seq;'],
  ['root kept', BRIDGE, 'if (!kept) revert RootNotKept(shard, seq);', ''],
  ['rejected batches anchor nothing', BRIDGE, 'emit BatchRejected(i, b.h.shard, b.h.seq, b.h.part, reason);',
    'emit BatchRejected(i, b.h.shard, b.h.seq, b.h.part, reason); _anchor(b.h.shard, b.h.seq, b.h.stateRoot);'],
  ['pause', BRIDGE, 'external whenNotPaused', 'external'],
  ['pause by the owner', BRIDGE, 'function pause() external onlyOwner', 'function pause() external'],
  ['unpause by the owner', BRIDGE, 'function unpause() external onlyOwner', 'function unpause() external'],
  ['verifier has code', BRIDGE, 'if (address(verifier_).code.length == 0) revert VerifierHasNoCode(address(verifier_));', ''],
  ['proof depth', PROOF, 'if (depth > MAX_DEPTH) return Membership.Invalid;', ''],
  ['foreign leaf shares the path', PROOF, 'if (foreign && !_sharePath(leafKeyHash, keyHash, depth)) return Membership.Invalid;', ''],
  ['foreign leaf is not presence', PROOF, 'return empty || foreign ?', 'return empty ?'],
  ['empty leaf is not presence', PROOF, 'return empty || foreign ?', 'return foreign ?'],
  ['root of the fold', PROOF, 'if (_fold(node, keyHash, siblings) != root) return Membership.Invalid;', '_fold(node, keyHash, siblings);'],
  ['zero key is not empty', PROOF, 'leafKeyHash == 0 && leafValueHash == 0', 'leafKeyHash == 0'],
  ['set validity', VERIFIER, 'if (block.timestamp >= set.validUntil) return Verdict.SetNotValid;', ''],
  ['set validity, off by one', VERIFIER, 'if (block.timestamp >= set.validUntil)', 'if (block.timestamp > set.validUntil)'],
  ['threshold', VERIFIER, ' || count < set.threshold', ''],
  ['whole signatures', VERIFIER, 'sigs.length != count * SIGNATURE_BYTES || ', ''],
  ['ascending signers', VERIFIER, 'signer <= last || ', ''],
  ['strictly ascending signers', VERIFIER, 'signer <= last || ', 'signer < last || '],
  ['members only', VERIFIER, ' || !isMember[signer]', ''],
  ['recovery fault', VERIFIER, 'return fault == ECDSA.RecoverError.NoError ? signer : address(0);',
    'return fault == ECDSA.RecoverError.NoError ? signer : ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));'],
  ['delay', VERIFIER, 'if (block.timestamp < pendingExecutableAt) revert TooEarly(pendingExecutableAt);', ''],
  ['delay bound', VERIFIER, 'if (delay_ > MAX_DELAY) revert DelayTooLong(delay_, MAX_DELAY);', ''],
  ['one proposal', VERIFIER, 'if (pendingExecutableAt != 0) revert ProposalPending(currentSetId + 1);', ''],
  ['nothing proposed', VERIFIER, 'function executeSet() external {\n        if (pendingExecutableAt == 0) revert NothingProposed();', 'function executeSet() external {'],
  ['older sets end', VERIFIER, '_sets[replaced - 1].validUntil = 0;', ''],
  ['previous set ends', VERIFIER, '_sets[replaced].validUntil = previousValidUntil;', ''],
  ['revoke', VERIFIER, '_sets[previous].validUntil = 0;\n', '\n'],
  ['revoke needs a valid set', VERIFIER, 'if (!isSetValid(previous)) revert NoPreviousSet();', ''],
  ['proposal by the owner', VERIFIER, 'uint16 threshold) external onlyOwner {', 'uint16 threshold) external {'],
  ['cancel by the owner', VERIFIER, 'function cancelSet() external onlyOwner', 'function cancelSet() external'],
  ['revoke by the owner', VERIFIER, 'function revokePrevious() external onlyOwner', 'function revokePrevious() external'],
  ['threshold in range', VERIFIER, 'threshold == 0 || threshold > members.length', 'threshold == 0'],
  ['threshold not zero', VERIFIER, 'threshold == 0 || threshold > members.length', 'threshold > members.length'],
  ['members bounded', VERIFIER, 'members.length == 0 || members.length > MAX_MEMBERS', 'members.length == 0'],
  ['members ascending', VERIFIER, 'if (members[i] <= last) revert MembersNotAscending(i);', ''],
  ['clearing a proposal', VERIFIER, 'pendingExecutableAt = 0;\n', '\n'],
];

const QUICK = ['current < version', 'from <= current', 'skip', 'threshold', 'strictly ascending signers', 'members only'];
const QUICK_TESTS = ['StateBridge.t.sol', 'QuorumVerifier.t.sol'];

const wanted = process.argv[2] ?? '';
const quick = wanted === '--quick';
const report = (verdict, name) => process.stdout.write(`${verdict} ${name}\n`);

/** The mutants whose text no longer stands in its file exactly once. */
const unfit = MUTANTS.filter(([, file, text]) => readFileSync(path.join(root, file), 'utf8').split(text).length !== 2);
unfit.forEach(([name]) => report('UNFIT   ', name));
const chosen = quick ? QUICK.map((name) => MUTANTS.find((m) => m[0] === name)) : MUTANTS.filter((m) => m[0].includes(wanted));
if (chosen.length === 0 || chosen.includes(undefined)) throw new Error('no mutant has that name');

const copy = mkdtempSync(path.join(tmpdir(), 'mutants-'));
let bad = unfit.length;
try {
  for (const entry of ['src', 'test', 'scripts', 'artifacts', 'foundry.toml']) {
    cpSync(path.join(root, entry), path.join(copy, entry), { recursive: true });
  }
  // The artifacts of a mutant differ by nature; only behaviour may kill it. What is not compiled costs nothing.
  const kept = (test) => test !== 'Artifacts.t.sol' && (!quick || QUICK_TESTS.includes(test));
  for (const test of readdirSync(path.join(copy, 'test')).filter((entry) => entry.endsWith('.t.sol') && !kept(entry))) {
    rmSync(path.join(copy, 'test', test));
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  const forge = path.join(root, 'node_modules/.bin/forge');
  // Behaviour is asked for, not gas: without the optimizer a mutant compiles in half the time.
  const forgeTest = (...args) => spawnSync(forge, ['test', '--offline', '--fail-fast', '--fuzz-runs', quick ? '4' : '32', ...args],
    { cwd: copy, encoding: 'utf8', env: { ...process.env, FOUNDRY_INVARIANT_RUNS: '4', FOUNDRY_OPTIMIZER: 'false' } });
  // The random logs are slow and only asked about what the directed tests let pass.
  const test = () => {
    const directed = forgeTest('--no-match-contract', 'GasTest|LogDelivery');
    return directed.status === 0 && !quick ? forgeTest('--match-contract', 'LogDelivery') : directed;
  };
  if (test().status !== 0) throw new Error('the tests fail without any mutant');
  for (const [name, file, text, replacement] of chosen.filter((m) => !unfit.includes(m))) {
    const source = readFileSync(path.join(root, file), 'utf8');
    writeFileSync(path.join(copy, file), source.replace(text, () => replacement));
    const run = test();
    const compiled = /Suite result|Ran \d+ test/.test(run.stdout);
    if (run.status === 0 || !compiled) bad++;
    report(run.status === 0 ? 'SURVIVED' : compiled ? 'killed  ' : 'UNBUILT ', name);
    writeFileSync(path.join(copy, file), source);
  }
} finally {
  rmSync(copy, { recursive: true });
}
process.exitCode = bad === 0 ? 0 : 1;
