/** How far each unit is locked in, by systemd's own scale: 0 is nothing allowed, 10 is everything. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OVERLAY } from '../../packaging/tree.ts';

const UNITS = join(OVERLAY, 'usr/lib/systemd/system');
const analyze = (...args: string[]) =>
  spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', ...args], { encoding: 'utf8' });
const installed = !(spawnSync('systemd-analyze', ['--version']).error instanceof Error);

interface Assessment {
  readonly set: boolean | null;
  readonly name: string;
  readonly exposure: string | null;
}

function exposure(unit: string): number {
  const { stdout, stderr } = analyze(join(UNITS, unit));
  const level = /Overall exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1];
  expect(level, stderr).toBeDefined();
  return Number(level);
}

/** Directives that cost points and stay undone: `CapabilityBoundingSet=~CAP_KILL` is the directive CapabilityBoundingSet. */
function missing(unit: string): string[] {
  const list = JSON.parse(analyze('--json=short', join(UNITS, unit)).stdout) as Assessment[];
  const names = list.filter(({ set, exposure: points }) => set === false && points !== null).map(({ name }) => name);
  return [...new Set(names.map((name) => name.slice(0, name.indexOf('='))))];
}

/** Directives that a unit sets or explains in a comment; `Protect*=` stands for all that begin so. */
const named = (text: string) => [...text.matchAll(/\b([A-Z]\w+)(\*?)=/g)].map(([, name = '', all]) => ({ name, all }));

const CEILINGS: [unit: string, exposure: number][] = [
  ['dstack-guest-agent.service', 3.0],
  ['dstack-docker-view.service', 1.5],
  ['dstack-gateway-checker.service', 3.5],
  ['dstack-boot-failed.service', 2.0],
  // these two hand the machine to the application, scripts of the application included
  ['dstack-prepare.service', 7.0],
  ['app-compose.service', 8.2],
];

describe.skipIf(!installed)('systemd-analyze security', () => {
  it.each(CEILINGS)('rates the exposure of %s at most %f', (unit, ceiling) => {
    expect(exposure(unit)).toBeLessThanOrEqual(ceiling);
  });

  it.each(CEILINGS)('finds nothing open in %s that the unit does not explain', (unit) => {
    const known = named(readFileSync(join(UNITS, unit), 'utf8'));
    const unexplained = missing(unit).filter(
      (name) => !known.some((it) => (it.all ? name.startsWith(it.name) : name === it.name)),
    );
    expect(unexplained).toEqual([]);
    expect(missing(unit)).toContain('MemoryDenyWriteExecute'); // the question is understood at all
  });
});

describe('units', () => {
  it.each(CEILINGS)('%s puts no value into the environment but how the runtime compiles', (unit) => {
    const set = readFileSync(join(UNITS, unit), 'utf8').match(/^(Environment|EnvironmentFile|PassEnvironment)=.*$/gm);
    expect((set ?? []).filter((line) => line !== 'Environment=BUN_JSC_useBaselineJIT=0')).toEqual([]);
  });
});
