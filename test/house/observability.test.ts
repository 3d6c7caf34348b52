/** The files for Prometheus and Grafana name only metrics and labels that the agent documents (and another test serves). */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const DIR = 'docs/observability';

/** metric -> its labels, from the table in docs/agent.md; histograms with their three series. */
function served(): Map<string, string[]> {
  const out = new Map<string, string[]>([['up', ['job']]]);
  for (const [, name = '', type, labels = ''] of readFileSync('docs/agent.md', 'utf8').matchAll(
    /^\| `(dstack_\w+)` \| (\w+) \|([^|]*)\|/gm,
  )) {
    const list = labels.split(',').flatMap((label) => (label.trim() === '' ? [] : [label.trim()]));
    if (type === 'histogram')
      for (const suffix of ['_bucket', '_sum', '_count']) out.set(name + suffix, [...list, 'le']);
    else out.set(name, list);
  }
  return out;
}

/** Labels that Prometheus itself adds to every series. */
const ADDED = ['instance', 'job'];

function check(expression: string): void {
  const metrics = served();
  const known = new Set(ADDED);
  const names = [...expression.matchAll(/\b(dstack_\w+|up)\b(?:\{([^}]*)\})?/g)];
  expect(names.length, expression).toBeGreaterThan(0);
  for (const [, name = '', selector = ''] of names) {
    const labels = metrics.get(name);
    expect(labels, `${name} in ${expression}`).toBeDefined();
    for (const label of labels ?? []) known.add(label);
    for (const [, label = ''] of selector.matchAll(/(\w+)\s*(?:=~|!=|!~|=)/g))
      expect([...ADDED, ...(labels ?? [])], `${label} of ${name}`).toContain(label);
  }
  for (const [, list = ''] of expression.matchAll(/\b(?:by|on|without)\s*\(([^)]*)\)/g))
    for (const label of list.split(',')) expect([...known], `${label} in ${expression}`).toContain(label.trim());
}

interface Rule {
  alert: string;
  expr: string;
  annotations: Record<string, string>;
}

describe('observability files', () => {
  const { groups } = parse(readFileSync(`${DIR}/alerts.yml`, 'utf8')) as { groups: { rules: Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);

  it.each(rules.map((rule) => [rule.alert, rule] as const))('alert %s asks for what is served', (_, rule) => {
    check(rule.expr);
    const labels = new Set([...served().values()].flat().concat(ADDED));
    for (const text of Object.values(rule.annotations))
      for (const [, label = ''] of text.matchAll(/\$labels\.(\w+)/g)) expect([...labels]).toContain(label);
  });

  it('every panel asks for what is served', () => {
    const dashboard = JSON.parse(readFileSync(`${DIR}/grafana-dashboard.json`, 'utf8')) as {
      panels: { id: number; targets: { expr: string }[] }[];
    };
    const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(15);
    for (const expression of expressions) check(expression);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });

  const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
  it.skipIf(!hasPromtool)('promtool accepts the rules and the configuration', () => {
    const run = (...args: string[]) => spawnSync('promtool', args, { cwd: DIR, encoding: 'utf8' });
    const checked = run('check', 'rules', 'alerts.yml');
    expect(checked.status, checked.stdout + checked.stderr).toBe(0);
    const config = run('check', 'config', '--syntax-only', 'prometheus.yml');
    expect(config.status, config.stdout + config.stderr).toBe(0);
  });
});
