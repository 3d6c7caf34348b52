import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { imageSbom, packageRecords, parsePackageLines } from '../../initramfs/lib/bill.ts';

const dir = mkdtempSync(join(tmpdir(), 'bill-'));
afterAll(() => rmSync(dir, { recursive: true }));
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

it('reads what dpkg-query prints, architecture or not', () => {
  expect(parsePackageLines('adduser\t3.152\nlibc6:amd64\t2.41-12\n')).toEqual([
    { name: 'adduser', version: '3.152' },
    { name: 'libc6', version: '2.41-12' },
  ]);
  expect(() => parsePackageLines('adduser 3.152')).toThrow(/not a package line/);
});

it('names the digest of each package file, and refuses to guess one', async () => {
  writeFileSync(join(dir, 'a_1%3a2-3_all.deb'), 'one');
  writeFileSync(join(dir, 'b_4_amd64.deb'), 'two');
  expect(await packageRecords('a\t1:2-3\nb:amd64\t4\n', dir)).toEqual({
    a: { version: '1:2-3', sha256: digest('one') },
    b: { version: '4', sha256: digest('two') },
  });
  await expect(packageRecords('c\t5', dir)).rejects.toThrow(/file of package c 5 is not in/);
});

it('makes an SPDX document in which every part has a digest and belongs to the image', () => {
  const bill = {
    name: 'dstack-prod',
    rootHash: 'ab'.repeat(32),
    epoch: 1_700_000_000,
    packages: { a: { version: '1:2-3+x', sha256: digest('one') } },
    programs: [{ imagePath: '/usr/bin/dstack-util', sha256: digest('util') }],
    kernelVersion: '6.12',
  };
  const document = JSON.parse(imageSbom(bill));
  expect(document.spdxVersion).toBe('SPDX-2.3');
  expect(document.creationInfo.created).toBe('2023-11-14T22:13:20Z');
  const [image, ...parts] = document.packages;
  expect(parts.map(({ name }: { name: string }) => name)).toEqual(['a', '/usr/bin/dstack-util']);
  expect(parts[0].externalRefs[0].referenceLocator).toBe('pkg:deb/debian/a@1%3A2-3%2Bx');
  for (const part of parts) {
    expect(part.checksums[0].checksumValue).toMatch(/^[0-9a-f]{64}$/);
    expect(part.SPDXID).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    expect(document.relationships).toContainEqual({
      spdxElementId: image.SPDXID,
      relationshipType: 'CONTAINS',
      relatedSpdxElement: part.SPDXID,
    });
  }
  expect(imageSbom(bill)).toBe(imageSbom(bill));
});
