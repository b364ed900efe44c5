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

/** Alert → what its tests expect: those that fire and those that stay silent while a metric of its rule is there. */
function expectations(rules, tests) {
  const kept = new Map(alerts(rules).map((name) => [name, { firing: 0, silent: 0 }]))
  const expressions = new Map([...rules.matchAll(/- alert: (\w+)\n\s*expr: '(.*)'$/gm)].map(([, name, expression]) => [name, expression]))
  for (const test of tests.split(/^ {2}- name: /m).slice(1)) {
    const [series, checks = ''] = test.split(/^ {4}alert_rule_test:\n/m)
    const given = new Set([...series.matchAll(/- series: '(\w+)/g)].map(([, name]) => name))
    for (const check of checks.split(/^ {6}- alertname: /m).slice(1)) {
      const [, name] = check.match(/^(\w+)/)
      const found = kept.get(name)
      if (!found) continue
      const named = [...(expressions.get(name) ?? '').matchAll(/\b(?:oss|process)_\w+|\bup\b/g)].map(([metric]) => metric)
      if (/^ {8}exp_alerts: \[\]$/m.test(check)) found.silent += named.some((metric) => given.has(metric)) ? 1 : 0
      else if (/^ {8}exp_alerts:\n {10}- exp_labels: /m.test(check)) found.firing += 1
    }
  }
  return kept
}

/** An alert is tested if one of its tests expects it to fire and another one expects silence. */
function untested(rules, tests) {
  return [...expectations(rules, tests)].flatMap(([name, { firing, silent }]) => [
    ...(firing > 0 ? [] : [`${name} has no test that it fires`]),
    ...(silent > 0 ? [] : [`${name} has no test that it stays silent while its metrics are there`]),
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

/** The tests, without the checks of an alert that expect it to fire, or those that expect silence. */
function without(tests, name, firing) {
  const check = new RegExp(`^ {6}- alertname: ${name}\\n(?: {8}.*\\n?)+`, 'gm')
  return tests.replace(check, (text) => (text.includes('exp_alerts: []') === firing ? text : ''))
}

/** The tests, where those that expect an alert's silence have series of nothing. */
function emptied(tests, name) {
  const silent = new RegExp(`- alertname: ${name}\\n.*\\n {8}exp_alerts: \\[\\]`)
  return tests.split(/^(?= {2}- name: )/m).map((test) => (silent.test(test) ? test.replace(/- series: '\w+/g, "- series: 'nothing") : test)).join('')
}

// Controls: each check finds the fault it is for.
const controls = [
  ['a metric nobody exports', unknownNames(rules.replace('oss_validator_leader', 'oss_validator_leading'), metrics)],
  ['a label a metric does not have', unknownNames(rules.replace('outcome="failed"', 'result="failed"'), metrics)],
  ['an alert without a test', untested(`${rules}\n      - alert: OssNew\n`, tests)],
  ...alerts(rules).flatMap((name) => [
    [`that ${name} is never expected to fire`, untested(rules, without(tests, name, true))],
    [`that ${name} is never expected to be silent`, untested(rules, without(tests, name, false))],
    [`that the silence of ${name} is that of an empty test`, untested(rules, emptied(tests, name))],
  ]),
  ['an alert without a section', unexplained(`${rules}\n      - alert: OssNew\n`, guide)],
  ['a section without an alert', unexplained(rules, `${guide}\n### OssOld\n`)],
]
for (const [what, found] of controls) if (found.length === 0) faults.push(`the check does not find ${what}`)

for (const fault of faults) console.error(`rules: ${fault}`)
if (faults.length > 0) process.exit(1)
console.log(`rules: ${alerts(rules).length} alerts, ${metrics.size} names`)
