/** What `npm test` does: the order of its steps, and which VM tests a change touches. */
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inOrder } from '../../scripts/test/run.ts';
import { testSteps } from '../../scripts/test/steps.ts';
import { table, vmTestsOf } from '../../scripts/test/vm-tests.ts';
import { fileOrder, LONGEST_FIRST } from '../vm/file-order.ts';

const ALL = readdirSync('test/vm')
  .filter((name) => name.endsWith('.vm.test.ts'))
  .map((name) => name.slice(0, -'.vm.test.ts'.length));

describe('the steps', () => {
  it('run side by side as far as their order allows, and a failure holds up nobody', async () => {
    const steps = [
      { name: 'a', after: [] },
      { name: 'b', after: [] },
      { name: 'c', after: ['a', 'left out'] },
    ];
    const log: string[] = [];
    const ends = new Map<string, () => void>();
    const done = inOrder(steps, async ({ name }) => {
      log.push(`${name} starts`);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      log.push(`${name} ends`);
      return name;
    });
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    for (const name of ['a', 'b', 'c']) {
      await turn();
      ends.get(name)?.();
    }
    expect(await done).toEqual(['a', 'b', 'c']);
    expect(log).toEqual(['a starts', 'b starts', 'a ends', 'c starts', 'b ends', 'c ends']);
  });

  it('stand behind those that they wait for, each with its own name', () => {
    const steps = testSteps();
    for (const [index, { after }] of steps.entries()) {
      const before = steps.slice(0, index).map(({ name }) => name);
      for (const name of after) expect(before).toContain(name);
    }
    expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
  });

  it('are those of the change, without any VM where it touches none', () => {
    const argv = (name: string, vmTests: string[]) =>
      testSteps({ base: 'main', vmTests }).find((step) => step.name === name)?.argv;
    expect(argv('unit', [])).toContain('--changed=main');
    expect(argv('vm', [])).toBeUndefined();
    expect(argv('vm', ['test/vm/ext4.vm.test.ts'])?.at(-1)).toBe('test/vm/ext4.vm.test.ts');
  });
});

describe('the VM tests that a change touches', () => {
  it('are known by names of tests and places that exist, and each is reached', () => {
    const named = new Set(Object.values(table).flat());
    for (const name of named) expect(ALL).toContain(name);
    expect(ALL.filter((name) => !named.has(name))).toEqual([]);
    for (const start of Object.keys(table)) expect(existsSync(start), start).toBe(true);
  });

  it('follow the longest place that is known, and are all of them where none is', () => {
    expect(vmTestsOf(['src/net/kms.ts', 'README.md', 'test/net/kms.test.ts'], ALL)).toEqual(['gateway', 'kms']);
    expect(vmTestsOf(['initramfs/lib/zfs.ts'], ALL)).toEqual(['zfs']);
    expect(vmTestsOf(['test/vm/rebuilt.vm.test.ts'], ALL)).toEqual(['rebuilt']);
    expect(vmTestsOf(['docs/disk.md'], ALL)).toEqual([]);
    for (const path of ['test/vm/support.ts', 'package.json', 'initramfs/vm/machine.ts', 'initramfs/removed.list']) {
      expect(vmTestsOf([path], ALL), path).toEqual(ALL);
    }
  });
});

describe('the files of VM tests', () => {
  const sorted = (zfsIsThere: boolean) =>
    fileOrder(
      ALL.map((name) => ({ moduleId: `${process.cwd()}/test/vm/${name}.vm.test.ts` })),
      zfsIsThere,
    ).map(({ moduleId }) => moduleId.replace(/^.*\/|\.vm\.test\.ts$/g, ''));

  it('run once each, the longest first', () => {
    const files = sorted(true);
    expect(files.slice(0, LONGEST_FIRST.length)).toEqual(LONGEST_FIRST);
    expect([...files].sort()).toEqual([...ALL].sort());
  });

  it('run later when they need ZFS modules that are not there', () => {
    const files = sorted(false);
    const zfs = ['disk', 'kms', 'power-cut', 'zfs'];
    expect(files.slice(-zfs.length)).toEqual(zfs);
    expect(files[0]).toBe('ext4');
    expect([...files].sort()).toEqual([...ALL].sort());
  });
});
