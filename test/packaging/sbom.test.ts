import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Lock, sbom } from '../../packaging/sbom.ts';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
const input = {
  lock,
  version: '1.2.3',
  revision: 'git:abc',
  created: '2026-01-02T03:04:05Z',
  binarySha256: 'ab'.repeat(32),
};

describe('bill of materials', () => {
  const document = JSON.parse(sbom(input));

  it('lists every direct dependency of the product and the runtime, and no development tool', () => {
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object };
    const names = document.packages.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining([...Object.keys(dependencies), '@oven/bun-linux-x64-baseline']));
    expect(names).not.toContain('vitest');
    expect(names).not.toContain('typescript');
  });

  it('has unique identifiers of the allowed form, each with a relationship and a digest', () => {
    const ids = document.packages.map(({ SPDXID }: { SPDXID: string }) => SPDXID);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    const related = document.relationships.map((it: { relatedSpdxElement: string }) => it.relatedSpdxElement);
    expect(related.toSorted()).toEqual(ids.toSorted());
    for (const { checksums } of document.packages) expect(checksums[0].checksumValue).toMatch(/^([0-9a-f]{2}){32,64}$/);
  });

  it('is the same for the same commit', () => expect(sbom(input)).toBe(sbom(input)));

  it('refuses a dependency without a digest', () => {
    const packages = { 'node_modules/loose': { version: '1.0.0' } };
    expect(() => sbom({ ...input, lock: { packages } })).toThrow(/loose has no digest/);
  });
});
