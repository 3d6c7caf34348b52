/** Free space is looked at before anything is made. */
import { expect, it } from 'vitest';
import { freeSpace, fullDisk, MIB, needSpace } from '../../scripts/lib/space.ts';

it('names both figures and the folder, which need not exist yet', () => {
  expect(freeSpace('/nope/nope')).toBe(freeSpace('/'));
  expect(() => needSpace('.', MIB, 'the files')).not.toThrow();
  expect(() => needSpace('/nope', 2 ** 60, 'the binaries')).toThrow(
    /^not enough free space: the binaries need about 1,099,511,627,776 MiB in \/nope, [\d,]+ MiB are free\n {2}hint: /,
  );
});

it('takes no other failure for a full disk', () => {
  expect(fullDisk(new Error('space is limited'))).toBeUndefined();
});
