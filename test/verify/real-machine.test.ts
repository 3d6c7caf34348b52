/**
 * The GetQuote answer of a real TDX machine: its four registers from the measurement document inside it and its own log. The
 * file was recorded elsewhere and is not part of the project: without it, test/verify/system.test.ts covers the same code.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { parseAnswer } from '../../src/verify/answer.ts';
import type { Evidence } from '../../src/verify/evidence-forms.ts';
import { checkSystem } from '../../src/verify/system-check.ts';

const FILE = '../shared/data/os-image/tdx-lite-getquote.json';
const missing = existsSync(FILE) ? undefined : `${FILE} is not there`;

describe.skipIf(missing !== undefined)(`evidence of a real machine (${missing ?? 'recomputed here'})`, () => {
  const evidence = (): Evidence => parseAnswer(new Uint8Array(readFileSync(FILE)));
  const checked = (change: (evidence: Evidence) => Evidence = (same) => same) => {
    const changed = change(evidence());
    const { body } = parseQuote(changed.quote ?? new Uint8Array());
    const config = JSON.parse(changed.config) as { os_image_hash: string };
    return checkSystem(changed, body, { references: [], pinnedHash: config.os_image_hash });
  };
  const withConfig = (members: Record<string, unknown>) => (same: Evidence) => ({
    ...same,
    config: JSON.stringify({ ...(JSON.parse(same.config) as object), ...members }),
  });
  const failed = (result: ReturnType<typeof checked>): string[] =>
    result.checks.filter(({ outcome }) => outcome === 'fail').map(({ name, detail }) => `${name}: ${detail}`);

  it('has the four registers of the system that its document names', () => {
    const { checks, report } = checked();
    expect(checks.map(({ name, outcome }) => `${outcome} ${name}`)).toEqual([
      'pass system-image',
      'pass system-mrtd',
      'pass system-rtmr0',
      'pass system-rtmr1',
      'pass system-rtmr2',
      'note system-acpi',
    ]);
    expect(report?.verdict).toBe('proven');
  });

  it.each([
    [
      'another memory size',
      { memory_size: 4 * 1024 ** 3 },
      /RTMR0 event 1 \(td-hob\).*the VM has 2 GiB of memory, 4 GiB/,
    ],
    ['another QEMU', { qemu_version: '9.1.0' }, /system-mrtd: .*in two passes, as QEMU 8 does: 9\.1\.0 is stated/],
    ['another os_image_hash', { os_image_hash: '00'.repeat(32) }, /system-image: the checksum file has SHA-256/],
  ])('is refused with %s in its vm_config', (_, members, wanted) => {
    expect(failed(checked(withConfig(members)))[0]).toMatch(wanted);
  });

  it('names each event of its log that is changed', () => {
    const log = (evidence().eventLog ?? []).filter(({ imr }) => imr < 3);
    for (const [at, event] of log.entries()) {
      const digest = Uint8Array.from(event.digest);
      digest[47] = (digest[47] ?? 0) ^ 1;
      const found = failed(
        checked((same) => ({
          ...same,
          eventLog: same.eventLog?.map((e, i) => (i === at ? { ...e, digest } : e)) ?? [],
        })),
      );
      expect(found.length, `event ${at + 1}`).toBe(1);
      expect(found[0]).toMatch(
        event.event.startsWith('acpi-')
          ? /the digest of an ACPI table in it is wrong$/
          : new RegExp(`^system-rtmr${event.imr}: RTMR${event.imr} event \\d+ .*: the log has`),
      );
    }
  });
});
