#!/usr/bin/env node
// Checks deploy/prometheus: promtool on configuration, rules and their tests; every metric and label that a rule names is
// exported (docs/generated/*.metrics.md, which tests compare with the code); every alert has a test that it fires and one
// that it does not, and a section in docs/operating.md. Each of these is then shown a fault that it has to find.
'use strict'
const { execFileSync } = require('node:child_process')
const { readFileSync, readdirSync } = require('node:fs')
const { join, resolve } = require('node:path')

const root = resolve(__dirname, '..')
const folder = join(root, 'deploy/prometheus')
const read = (...parts) => readFileSync(join(root, ...parts), 'utf8')
// What Prometheus itself adds.
const OWN = new Map([['up', ['job', 'instance']]])
const ADDED = ['job', 'instance', '__name__', 'le']

function promtool(...args) {
  try {
    execFileSync('promtool', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    return []
  } catch (error) {
    if (error.code === 'ENOENT') return ['promtool is missing: scripts/bootstrap.sh test installs it']
    return [`promtool ${args.join(' ')}:\n${error.stdout}${error.stderr}`]
  }
}

/** Metric name → its labels, from the lists that the services' tests keep. */
function exported() {
  const metrics = new Map(OWN)
  const lists = readdirSync(join(root, 'docs/generated')).filter((name) => name.endsWith('.metrics.md'))
  for (const list of lists) {
    for (const [, name, type, labels] of read('docs/generated', list).matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) \|/gm)) {
      const all = [...(metrics.get(name) ?? []), ...labels.trim().split(', ').filter(Boolean)]
      metrics.set(name, all)
      if (type === 'histogram') for (const part of ['_bucket', '_sum', '_count']) metrics.set(name + part, all)
    }
  }
  return metrics
}

/** The faults of every expression that stands behind `expr:` or `series:`. */
function unknownNames(text, metrics) {
  const faults = []
  for (const [, expression] of text.matchAll(/(?:expr|series): '(.*)'$/gm)) {
    for (const [, name, , matchers = ''] of expression.matchAll(/\b((?:oss|process)_\w+|up\b)(\{([^}]*)\})?/g)) {
      if (!metrics.has(name)) {
        faults.push(`no service exports ${name}`)
        continue
      }
      const known = [...metrics.get(name), ...ADDED]
      for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=|!=|=~|!~)\s*"/g)) {
        if (!known.includes(label)) faults.push(`${name} has no label ${label}`)
      }
    }
  }
  return faults
}

const alerts = (rules) => [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)

function untested(rules, tests) {
  const says = (name, end) => new RegExp(`- name: '${name} ${end}'[\\s\\S]*?alertname: ${name}\\n`).test(tests)
  return alerts(rules).flatMap((name) => [
    ...(says(name, 'fires') ? [] : [`${name} has no test that it fires`]),
    ...(says(name, 'does not fire') ? [] : [`${name} has no test that it does not fire`]),
  ])
}

function unexplained(rules, guide) {
  const sections = [...guide.matchAll(/^#+ (Oss\w+)$/gm)].map(([, name]) => name)
  return [
    ...alerts(rules).filter((name) => !sections.includes(name)).map((name) => `${name} has no section in docs/operating.md`),
    ...sections.filter((name) => !alerts(rules).includes(name)).map((name) => `docs/operating.md explains ${name}, which is no alert`),
  ]
}

const [rules, tests, guide] = [read('deploy/prometheus/rules.yml'), read('deploy/prometheus/rules_test.yml'), read('docs/operating.md')]
const metrics = exported()
const faults = [
  ...promtool('check', 'config', 'prometheus.yml'),
  ...promtool('check', 'rules', 'rules.yml'),
  ...promtool('test', 'rules', 'rules_test.yml'),
  ...unknownNames(rules, metrics),
  ...unknownNames(tests, metrics),
  ...untested(rules, tests),
  ...unexplained(rules, guide),
]

// Controls: each check finds the fault it is for.
const controls = [
  ['a metric nobody exports', unknownNames(rules.replace('oss_validator_leader', 'oss_validator_leading'), metrics)],
  ['a label a metric does not have', unknownNames(rules.replace('outcome="failed"', 'result="failed"'), metrics)],
  ['an alert without a test', untested(`${rules}\n      - alert: OssNew\n`, tests)],
  ['an alert without a section', unexplained(`${rules}\n      - alert: OssNew\n`, guide)],
  ['a section without an alert', unexplained(rules, `${guide}\n### OssOld\n`)],
]
for (const [what, found] of controls) if (found.length === 0) faults.push(`the check does not find ${what}`)

for (const fault of faults) console.error(`rules: ${fault}`)
if (faults.length > 0) process.exit(1)
console.log(`rules: ${alerts(rules).length} alerts, ${metrics.size} names`)
