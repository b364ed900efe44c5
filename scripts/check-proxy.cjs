#!/usr/bin/env node
// Runs deploy/haproxy.cfg and deploy/proxy-ready.sh against stand-ins of the services, on free ports and with a short time-out.
// Every answer that the proxy makes itself must be a problem document; the services' own must come through as they are.
// Needs haproxy and bash. Prints one line per check; exits non-zero at the first that fails.
'use strict';
const assert = require('assert');
const { spawn, spawnSync } = require('child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('fs');
const http = require('http');
const net = require('net');
const { tmpdir } = require('os');
const path = require('path');

const deploy = path.join(__dirname, '..', 'deploy');
const SERVICES = ['collector', 'validator', 'broadcaster'];
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` };
const work = mkdtempSync(path.join(tmpdir(), 'proxy-'));

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

const get = (port, target) => new Promise((resolve, reject) => {
  const request = http.get({ host: '127.0.0.1', port, path: target, agent: false }, (response) => {
    let body = '';
    response.on('data', (part) => { body += part; });
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    response.on('error', reject);
  });
  request.on('error', reject);
});

async function until(what, check) {
  for (let left = 200; ; left--) {
    try { return await check(); } catch (error) {
      if (left === 0) throw new Error(`${what}: ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function isProblem(answer, status, code, retryAfter) {
  assert.strictEqual(answer.status, status, answer.body);
  assert.strictEqual(answer.headers['content-type'], 'application/problem+json');
  assert.strictEqual(answer.headers['retry-after'], retryAfter);
  const { title, ...rest } = JSON.parse(answer.body);
  assert.ok(title.length > 0);
  assert.deepStrictEqual(rest, { type: `/problems/${code}`, status, code });
}

/** A stand-in: API and admin port. */
function service(name, { api, admin }) {
  const state = { isReady: true };
  http.createServer((request, response) => {
    if (request.url.endsWith('/broken')) return request.socket.destroy();
    if (request.url.endsWith('/slow')) return undefined;
    const status = request.url.endsWith('/full') ? 503 : 200;
    response.writeHead(status, { 'Content-Type': 'application/json' });
    return response.end(JSON.stringify({ service: name }));
  }).listen(api, '127.0.0.1');
  http.createServer((request, response) => {
    response.writeHead(request.url === '/readyz' && state.isReady ? 200 : 503).end();
  }).listen(admin, '127.0.0.1');
  return state;
}

async function main(children) {
  const file = path.join(deploy, 'haproxy.cfg');
  const tested = spawnSync('haproxy', ['-c', '-f', file], { env, encoding: 'utf8' });
  assert.strictEqual(tested.status, 0, `haproxy -c: ${tested.error || tested.stderr}`);
  console.log('ok  the configuration is valid');

  const [port, ...ports] = await Promise.all(Array.from({ length: 7 }, freePort));
  const places = Object.fromEntries(SERVICES.map((name, i) => [name, { api: ports[2 * i], admin: ports[2 * i + 1] }]));
  let text = readFileSync(file, 'utf8');
  const replace = (from, to) => {
    assert.ok(text.includes(from), `deploy/haproxy.cfg has no "${from}" any more`);
    text = text.replace(from, to);
  };
  replace('bind :8080', `bind 127.0.0.1:${port}`);
  replace('timeout server 65s', 'timeout server 1s');
  text = text.replace(/server-template (\w+)- \d+ \S+ port \d+/g,
    (_, name) => `server ${name} 127.0.0.1:${places[name].api} port ${places[name].admin}`);
  assert.ok(!text.includes('server-template'));
  writeFileSync(path.join(work, 'haproxy.cfg'), text);
  children.push(spawn('haproxy', ['-db', '-f', path.join(work, 'haproxy.cfg')], { env, stdio: 'ignore' }));
  /** The exit code of the container's health check; the stand-ins must be able to answer meanwhile. */
  const ready = () => new Promise((resolve) => {
    spawn('bash', [path.join(deploy, 'proxy-ready.sh'), String(port)], { stdio: 'ignore' }).on('exit', resolve);
  });

  await until('the proxy answers', () => get(port, '/'));
  isProblem(await get(port, '/v1/sync-requests'), 503, 'unavailable', '1');
  isProblem(await get(port, '/v1/targets'), 503, 'unavailable', '1');
  isProblem(await get(port, '/v1/assets/bond:A'), 503, 'no_leader', '1');
  isProblem(await get(port, '/v1/targets/base/rewind'), 503, 'no_leader', '1');
  isProblem(await get(port, '/v1/rollbacks'), 503, 'no_leader', '1');
  isProblem(await get(port, '/v1/sync-requests/x/explain'), 503, 'no_leader', '1');
  assert.notStrictEqual(await ready(), 0);
  console.log('ok  without services: problem documents, and the proxy is not healthy');

  const states = Object.fromEntries(SERVICES.map((name) => [name, service(name, places[name])]));
  await until('every service is found', async () => {
    for (const [target, name] of [['/docs', 'collector'], ['/v1/shards', 'validator'], ['/v1/sync-requests/x/explain', 'validator'], ['/v1/sync-requests/x', 'collector'], ['/v1/targets', 'broadcaster'], ['/v1/dlq', 'broadcaster']]) {
      assert.deepStrictEqual(JSON.parse((await get(port, target)).body), { service: name });
    }
  });
  await until('the proxy is healthy', async () => assert.strictEqual(await ready(), 0));
  console.log('ok  with services: each answers for its routes, and the proxy is healthy');

  isProblem(await get(port, '/v1/sync-requests/broken'), 502, 'unavailable', '1');
  isProblem(await get(port, '/v1/shards/slow'), 504, 'unavailable', '1');
  const own = await get(port, '/v1/sync-requests/full');
  assert.deepStrictEqual([own.status, own.body], [503, '{"service":"collector"}']);
  console.log('ok  a broken or slow service: problem documents; a service\'s own 503 comes through');

  for (const [name, target] of [['validator', '/v1/shards'], ['broadcaster', '/v1/targets'], ['collector', '/docs']]) {
    states[name].isReady = false;
    await until(`${name} is taken out`, async () => assert.strictEqual((await get(port, target)).status, 503));
    assert.notStrictEqual(await ready(), 0, name);
    states[name].isReady = true;
    await until(`${name} is back`, async () => assert.strictEqual(await ready(), 0));
  }
  console.log('ok  with one service missing the proxy is not healthy');
}

const children = [];
process.on('exit', () => {
  children.forEach((child) => child.kill('SIGKILL'));
  rmSync(work, { recursive: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
main(children).then(() => process.exit(0), (error) => {
  console.error(`check-proxy: ${error.stack}`);
  process.exit(1);
});
