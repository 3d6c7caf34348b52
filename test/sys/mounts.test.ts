import { expect, it } from 'vitest';
import { mountAt, parseMountinfo } from '../../src/sys/mounts.ts';

it('reads mountinfo with optional fields and escapes', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue',
    '40 35 0:45 / /with\\040space\\134x rw - tmpfs none\\011x rw,size=64k',
    'garbage',
    '',
  ].join('\n');
  expect(parseMountinfo(text)).toEqual([
    {
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt2',
      type: 'ext3',
      source: '/dev/root',
      options: 'rw,errors=continue',
    },
    {
      device: '0:45',
      root: '/',
      mountPoint: '/with space\\x',
      type: 'tmpfs',
      source: 'none\tx',
      options: 'rw,size=64k',
    },
  ]);
});

it('finds the mount that is on top', async () => {
  expect((await mountAt('/proc'))?.type).toBe('proc');
  expect(await mountAt('/proc/1')).toBeUndefined();
});
