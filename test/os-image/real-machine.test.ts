/** The answer of a real TDX machine: all four registers of its quote follow from its measurement document and its log. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import {
  predictFromDocument,
  readBoundMeasurement,
  readVmConfig,
  shapeFromVmConfig,
} from '../../src/os-image/os-image.ts';
import { parseLogJson } from '../../src/tdx/log-json.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';

const ANSWER = '../shared/data/os-image/tdx-lite-getquote.json';
const missing = existsSync(ANSWER) ? undefined : `${ANSWER} is not there`;

describe.skipIf(missing !== undefined)(`a real machine (${missing ?? 'checked here'})`, () => {
  const answer = missing === undefined ? JSON.parse(readFileSync(ANSWER, 'utf8')) : {};
  const load = () => {
    const vm = readVmConfig(Buffer.from(answer.vm_config), 'vm_config');
    if (vm.tdxMeasurement === undefined) throw new Error('the answer has no measurement document');
    const bound = readBoundMeasurement(vm.tdxMeasurement);
    const log = parseLogJson(answer.event_log);
    const digest = (name: string) => log.find(({ event }) => event === name)?.digest ?? new Uint8Array();
    const acpi = { loader: digest('acpi-loader'), rsdp: digest('acpi-rsdp'), tables: digest('acpi-tables') };
    return { vm, bound, log, prediction: predictFromDocument(bound.document, shapeFromVmConfig(vm), acpi) };
  };

  it('its quote has the four predicted registers', () => {
    const { prediction, bound, vm } = load();
    const { body } = parseQuote(fromHex(answer.quote));
    expect(toHex(bound.osImageHash)).toBe(toHex(vm.osImageHash));
    expect(toHex(prediction.mrtd.value)).toBe(toHex(body.mrtd));
    expect(prediction.rtmrs.map(({ value }) => value && toHex(value))).toEqual(body.rtmrs.slice(0, 3).map(toHex));
  });

  it('its event log has the predicted events, with their types, in their order', () => {
    const { prediction, log } = load();
    for (const register of [0, 1, 2] as const) {
      expect(
        prediction.rtmrs[register].events.map(({ eventType, digest }) => [eventType, digest && toHex(digest)]),
      ).toEqual(log.filter(({ imr }) => imr === register).map(({ eventType, digest }) => [eventType, toHex(digest)]));
    }
  });
});
