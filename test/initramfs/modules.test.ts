import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readList } from '../../initramfs/lib/lists.ts';
import { moduleClosure, moduleName, parseModulesDep } from '../../initramfs/lib/modules.ts';

const dep = [
  'kernel/md/dm-verity.ko.xz: kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko.xz',
  'kernel/md/dm-bufio.ko.xz: kernel/md/dm-mod.ko.xz',
  'kernel/md/dm-mod.ko.xz:',
  'kernel/net/xt_nat.ko.xz: kernel/net/x_tables.ko.xz',
  'kernel/net/xt_mark.ko.xz: kernel/net/x_tables.ko.xz',
  'kernel/net/x_tables.ko.xz:',
].join('\n');
const deps = parseModulesDep(dep);
const builtin = 'kernel/drivers/virtio/virtio_pci.ko\n';

describe('module closure', () => {
  it('puts every module after what it needs', () => {
    expect(moduleClosure(['dm-verity'], deps, builtin).map(moduleName)).toEqual(['dm_mod', 'dm_bufio', 'dm_verity']);
  });

  it('takes - and _ for the same letter, in names and in patterns', () => {
    expect(moduleClosure(['dm_verity'], deps, builtin)).toEqual(moduleClosure(['dm-verity'], deps, builtin));
    expect(moduleClosure(['xt-*'], deps, builtin).map(moduleName)).toEqual(['x_tables', 'xt_mark', 'xt_nat']);
  });

  it('accepts what is built in and refuses what is unknown', () => {
    expect(moduleClosure(['virtio_pci'], deps, builtin)).toEqual([]);
    expect(() => moduleClosure(['virtio_pic'], deps, builtin)).toThrow(/no module 'virtio_pic'/);
    expect(() => moduleClosure(['.*'], deps, builtin)).toThrow(/no module/);
  });

  it('holds its order for any graph without cycles', () => {
    const graph = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(graph, (edges) => {
        const direct = edges.map((to, from) => [...new Set(to.filter((n) => n < from))]);
        const all = direct.map((needs) => needs);
        // modules.dep lists the whole closure, later needed ones first
        const closure = (n: number): number[] =>
          [...new Set((all[n] ?? []).flatMap((m) => [m, ...closure(m)]))].sort((a, b) => b - a);
        const map = new Map(all.map((_, n) => [`k/m${n}.ko`, closure(n).map((m) => `k/m${m}.ko`)]));
        const order = moduleClosure(['m*'], map, '');
        expect(new Set(order).size).toBe(all.length);
        for (const [path, needs] of map)
          for (const need of needs) expect(order.indexOf(need)).toBeLessThan(order.indexOf(path));
      }),
    );
  });

  it('has lists without repetitions', async () => {
    expect(await readList('modules/image.list')).toContain('overlay');
    expect(await readList('modules/initramfs.list')).toContain('dm-verity');
  });
});
