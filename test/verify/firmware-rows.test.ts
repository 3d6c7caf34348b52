import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import type { FirmwareRow } from '../../src/verify/firmware-rows.ts';
import { bytesOf, judge, answerOf as paperAnswer } from './guest.ts';
import { ACPI, answerOf, FILES, fromDocument, OTHER_KERNEL, vmConfigOf } from './system-fixture.ts';

const LITE = { measured: fromDocument(FILES), config: vmConfigOf(FILES) };
const shortOf = ({ register, index, event, state }: FirmwareRow) => `${register}.${index} ${event} ${state}`;

describe('the events of RTMR0 to RTMR2', () => {
  it('have the names of the system, lead to the registers of the quote, and leave the ACPI tables to the host', async () => {
    const { firmware, quote } = await judge(answerOf(LITE));
    expect(firmware.map(shortOf)).toEqual([
      '0.1 td-hob expected',
      '0.2 configuration-volume expected',
      '0.3 SecureBoot expected',
      '0.4 PK expected',
      '0.5 KEK expected',
      '0.6 db expected',
      '0.7 dbx expected',
      '0.8 separator expected',
      '0.9 acpi-loader host',
      '0.10 acpi-rsdp host',
      '0.11 acpi-tables host',
      '0.12 BootOrder expected',
      '0.13 Boot0000 expected',
      '1.1 kernel expected',
      '1.2 calling-boot-option expected',
      '1.3 separator expected',
      '1.4 exit-boot-services expected',
      '1.5 exit-boot-services-success expected',
      '2.1 command-line expected',
      '2.2 initrd expected',
    ]);
    expect(firmware[8]?.digest).toBe(toHex(ACPI.loader));
    for (const register of [0, 1, 2] as const) {
      const last = firmware.findLast((row) => row.register === register);
      expect(last?.value).toBe(toHex(quote?.body.rtmrs[register] ?? new Uint8Array()));
    }
  });

  it('drift where another kernel was measured, and are open behind it', async () => {
    const { firmware } = await judge(
      answerOf({ measured: fromDocument({ ...FILES, kernel: OTHER_KERNEL }), config: vmConfigOf(FILES) }),
    );
    const second = firmware.filter(({ register }) => register === 1);
    expect(second.map(({ state }) => state)).toEqual(['drift', 'open', 'open', 'open', 'open']);
    expect(second[0]).toMatchObject({
      event: 'kernel',
      why: expect.stringMatching(/^the system leads to [0-9a-f]{96}$/),
    });
    expect(firmware.filter(({ state }) => state === 'drift')).toHaveLength(1);
  });

  it('are open without a system, and named by their type', async () => {
    const { firmware } = await judge(bytesOf(paperAnswer()));
    expect(new Set(firmware.map(({ state }) => state))).toEqual(new Set(['open', 'host']));
    expect(firmware.filter(({ register }) => register === 2).map(({ event }) => event)).toContain('EV_EVENT_TAG');
  });
});
