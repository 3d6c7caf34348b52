/** The files for Prometheus and Grafana name only metrics and labels that the agent documents (and another test serves). */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { promtool } from './promtool.ts';

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

interface Dashboard {
  uid: string;
  links: object[];
  panels: {
    id: number;
    title: string;
    type: string;
    targets: { expr: string }[];
    transformations?: {
      id: string;
      options: Record<'excludeByName' | 'renameByName' | 'indexByName', Record<string, unknown>>;
    }[];
  }[];
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

  const runbooks = readFileSync('docs/runbooks.md', 'utf8');
  const sections = new Map(
    runbooks
      .split(/^## /m)
      .slice(1)
      .map((text) => [text.slice(0, text.indexOf('\n')), text] as const),
  );

  it.each(rules.map((rule) => [rule.alert, rule] as const))('alert %s leads to its runbook', (alert, rule) => {
    expect(rule.annotations['runbook_url']).toBe(`docs/runbooks.md#${alert.toLowerCase()}`);
    const section = sections.get(alert) ?? '';
    for (const part of ['**Means:**', '**Look at:**', '**Do:**']) expect(section).toContain(`\n* ${part} `);
  });

  it('every runbook belongs to an alert, and every alert has a test', () => {
    expect([...sections.keys()]).toEqual(rules.map(({ alert }) => alert));
    const { tests } = parse(readFileSync(`${DIR}/alerts.test.yml`, 'utf8')) as { tests: { name: string }[] };
    const tested = tests.map(({ name }) => name);
    expect(rules.map(({ alert }) => alert).filter((alert) => !tested.includes(alert))).toEqual([]);
  });

  describe.each(['grafana-dashboard.json', 'grafana-guest.json'])('%s', (file) => {
    const dashboard = JSON.parse(readFileSync(`${DIR}/${file}`, 'utf8')) as Dashboard;

    it('asks for what is served', () => {
      const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
      expect(expressions.length).toBeGreaterThan(15);
      for (const expression of expressions) check(expression);
      expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    });

    it('has tables of the columns that a person wants, under their own names', () => {
      const tables = dashboard.panels.filter(({ type }) => type === 'table');
      expect(tables.length).toBeGreaterThan(1);
      for (const { title, targets, transformations = [] } of tables) {
        const [organize] = transformations;
        if (organize?.id !== 'organize') throw new Error(`${title} shows its columns as Prometheus sends them`);
        const { excludeByName, renameByName, indexByName } = organize.options;
        const [, name = ''] = /\b(dstack_\w+)/.exec(targets[0]?.expr ?? '') ?? [];
        const columns = ['Time', 'Value', '__name__', ...ADDED, ...(served().get(name) ?? [])];
        const shown = columns.filter((column) => !excludeByName[column]);
        for (const column of ['Time', '__name__', 'job']) expect(shown, title).not.toContain(column);
        expect(Object.keys(renameByName).toSorted(), title).toEqual(shown.toSorted());
        expect(Object.keys(indexByName).toSorted(), title).toEqual(shown.toSorted());
        // a range as a table would be one row for each moment
        expect(targets[0]).toMatchObject({ format: 'table', instant: true });
      }
    });

    it('leads to the other one', () => {
      const other = { 'dstack-guests': 'dstack-guest', 'dstack-guest': 'dstack' }[dashboard.uid];
      expect(dashboard.links).toMatchObject([{ type: 'dashboards', tags: [other] }]);
      const urls = [...JSON.stringify(dashboard).matchAll(/"url":"\/d\/([\w-]+)/g)].map(([, uid]) => uid);
      expect(new Set(urls)).toEqual(new Set(dashboard.uid === 'dstack-guests' ? ['dstack-guest'] : []));
    });
  });

  it('promtool accepts the rules, their tests and the configuration', { timeout: 240_000 }, async (context) => {
    const found = await promtool();
    if ('missing' in found) return context.skip(found.missing);
    const run = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(found.path, args, { cwd: DIR, encoding: 'utf8' });
      expect(status, `${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
    };
    run('check', 'rules', 'alerts.yml');
    run('check', 'config', '--syntax-only', 'prometheus.yml');
    run('test', 'rules', 'alerts.test.yml');
  });
});
