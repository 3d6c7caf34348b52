/** TDX firmware: what its metadata may say, and what is refused. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/codec/bytes.ts';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { readWitness, writeWitness } from '../../src/os-image/memory-layout.ts';
import { computeMrtd } from '../../src/os-image/mrtd.ts';
import { configurationVolume, FIRMWARE_LIMIT, memoryLayoutOf, parseTdvf } from '../../src/os-image/tdvf.ts';
import { isEmptyVariableStore } from '../../src/os-image/variable-store.ts';
import { failure } from '../failure.ts';
import { buildFirmware, emptyVolume, SECTIONS, type SectionFields } from './sample.ts';

const PAGE = 4096;
const witnessError = (why: string) => new DstackError('IMAGE_MEASUREMENT_INVALID', why);

/** The sections with one of them changed. */
const changed = (index: number, change: (fields: number[]) => unknown): SectionFields[] =>
  SECTIONS.map((fields, i) => {
    const copy = [...fields];
    if (i === index) change(copy);
    return copy as unknown as SectionFields;
  });

describe('metadata', () => {
  it('names the sections in file order', () => {
    const sections = parseTdvf(buildFirmware());
    expect(sections.map(({ type }) => type)).toEqual(['BFV', 'CFV', 'TEMP_MEM', 'TEMP_MEM', 'TD_HOB', 'TEMP_MEM']);
    expect(sections.map(({ extend }) => extend)).toEqual([true, false, false, false, false, false]);
    expect(configurationVolume(sections)).toEqual(emptyVolume());
    expect(toHex(writeWitness(memoryLayoutOf(sections)))).toBe('80100904000609020b021010');
  });

  it.each<[string, SectionFields[]]>([
    ['data behind the end', changed(0, (f) => f.splice(0, 1, 5 * PAGE))],
    ['a size of 4 GiB', changed(0, (f) => f.splice(0, 4, PAGE, 0xffff_f000, 0xfffc_1000, 0xffff_f000))],
    ['an address beyond 2^52', changed(2, (f) => f.splice(2, 1, 2 ** 60))],
    ['an address within a page', changed(2, (f) => f.splice(2, 1, 0x81_0001))],
    ['half a page', changed(2, (f) => f.splice(3, 1, 0x800))],
    ['more data than memory', changed(1, (f) => f.splice(3, 1, 0))],
    ['measured memory that the file does not fill', changed(0, (f) => f.splice(3, 1, 3 * PAGE))],
    ['an unknown type', changed(2, (f) => f.splice(4, 1, 4))],
    ['an unknown attribute', changed(2, (f) => f.splice(5, 1, 4))],
    ['memory of terabytes', changed(2, (f) => f.splice(3, 1, 2 ** 40))],
    ['bytes measured twice', Array.from({ length: 3 }, () => SECTIONS[0] as SectionFields)],
    ['too many sections', Array.from({ length: 65 }, () => SECTIONS[2] as SectionFields)],
  ])('%s is refused', (_, sections) => {
    const thrown = failure(() => parseTdvf(buildFirmware(sections)));
    expect(thrown.code).toBe('FIRMWARE_INVALID');
    expect(thrown.message).toMatch(/^TDX firmware: /);
  });

  it.each<[string, SectionFields[]]>([
    ['no hand-off block', changed(4, (f) => f.splice(4, 1, 3))],
    ['two hand-off blocks', changed(5, (f) => f.splice(4, 1, 2))],
    ['an empty range', changed(5, (f) => f.splice(3, 1, 0))],
    ['ranges that overlap', changed(5, (f) => f.splice(3, 1, 0xa000))],
  ])('%s is refused', (_, sections) => {
    expect(failure(() => memoryLayoutOf(parseTdvf(buildFirmware(sections)))).code).toBe('FIRMWARE_INVALID');
  });

  it.each([
    ['no byte', new Uint8Array()],
    ['a few bytes', new Uint8Array(40)],
    ['a firmware of another kind', new Uint8Array(8 * PAGE)],
    [
      'no TDX metadata',
      (() => {
        const firmware = buildFirmware();
        const at = Buffer.from(firmware.buffer).indexOf(Buffer.from('35657ae4', 'hex'));
        firmware[at] = 0;
        return firmware;
      })(),
    ],
    ['more than the limit', new Uint8Array(FIRMWARE_LIMIT + 1)],
  ])('%s is refused', (_, firmware) => {
    expect(failure(() => parseTdvf(firmware)).code).toBe('FIRMWARE_INVALID');
  });

  it('any byte of the metadata may be anything', () => {
    const good = buildFirmware();
    const places = [...Array(16 + 32 * SECTIONS.length).keys()]
      .map((i) => 3 * PAGE + i)
      .concat([...Array(120).keys()].map((i) => good.length - 120 + i));
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.nat(255), (at, value) => {
        const firmware = new Uint8Array(good);
        firmware[at] = value;
        try {
          const sections = parseTdvf(firmware);
          expect(computeMrtd(sections, 'two-pass')).toHaveLength(48);
          memoryLayoutOf(sections);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

describe('MRTD', () => {
  /** The records of one page as the TDX module hashes them, written down once more. */
  const record = (name: string, address: number): Uint8Array => {
    const bytes = new Uint8Array(128);
    bytes.set(Buffer.from(name));
    new DataView(bytes.buffer).setBigUint64(16, BigInt(address), true);
    return bytes;
  };
  const added = (address: number) => record('MEM.PAGE.ADD', address);
  const extended = (address: number, page: Uint8Array) =>
    concat(
      ...Array.from({ length: 16 }, (_, i) =>
        concat(record('MR.EXTEND', address + 256 * i), page.subarray(256 * i, 256 * (i + 1))),
      ),
    );
  const sections: SectionFields[] = [SECTIONS[0] as SectionFields, [0, 0, 0x81_0000, PAGE, 3, 0]];
  const code = new Uint8Array(PAGE).fill(0x90);
  const [first, second] = [0xfffc_1000, 0xfffc_2000];

  it.each([
    ['single-pass', [added(first), extended(first, code), added(second), extended(second, code)]],
    ['two-pass', [added(first), added(second), extended(first, code), extended(second, code)]],
  ] as const)('%s', (order, records) => {
    const expected = createHash('sha384')
      .update(concat(...records, added(0x81_0000)))
      .digest('hex');
    expect(toHex(computeMrtd(parseTdvf(buildFirmware(sections)), order))).toBe(expected);
  });

  it('pages added while the guest runs leave no record', () => {
    const late = changed(2, (f) => f.splice(5, 1, 2)).filter((_, i) => i === 0 || i === 2);
    const without = SECTIONS.filter((_, i) => i === 0);
    const of = (list: readonly SectionFields[]) => toHex(computeMrtd(parseTdvf(buildFirmware(list)), 'single-pass'));
    expect(of(late)).toBe(of(without));
  });
});

describe('the witness', () => {
  it('says the same after reading', () => {
    const range = fc.record({ gap: fc.nat(2 ** 20), count: fc.integer({ min: 1, max: 2 ** 20 }) });
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 20 }), fc.nat(), (list, pick) => {
        let at = 0;
        const ranges = list.map(({ gap, count }) => {
          const start = at + gap;
          at = start + count;
          return { start, count };
        });
        const layout = { tdHob: ranges[pick % ranges.length]?.start ?? 0, ranges };
        expect(readWitness(writeWitness(layout), witnessError)).toEqual(layout);
      }),
    );
  });

  it.each([
    ['no byte', ''],
    ['half a number', '80'],
    ['a number with a zero too many', '8010098000'],
    ['an endless number', 'ffffffffffffffff7f0000'],
    ['ranges that are missing', '80100904000609020b02'],
    ['a byte too many', '80100904000609020b02101000'],
    ['a million ranges', '801009c0843d'],
    ['no range', '80100900'],
    ['an empty range', '801000010000'],
    ['overlapping ranges', '80100002000a0502'],
    ['ranges out of order', '80100904090200060b021010'],
    ['a lowest page that is not used', '80100a0401060a020c021110'],
    ['no range at the hand-off block', '80100804000609020b021010'],
  ])('%s is refused', (_, hex) => {
    expect(failure(() => readWitness(Buffer.from(hex, 'hex'), witnessError)).code).toBe('IMAGE_MEASUREMENT_INVALID');
  });
});

describe('the variable store', () => {
  it('is empty or is not', () => {
    expect(isEmptyVariableStore(emptyVolume())).toBe(true);
    // the first byte of a variable, the last of the store, the header's length, the signature, the kind of store
    for (const at of [0x64, 0x48 + 0x7ff, 0x30, 0x28, 0x48]) {
      const volume = emptyVolume();
      volume[at] = 0x12;
      expect(isEmptyVariableStore(volume), `byte ${at}`).toBe(false);
    }
    // behind the store is room for the writer of variables
    const volume = emptyVolume();
    volume[0x48 + 0x800] = 0;
    expect(isEmptyVariableStore(volume)).toBe(true);
    expect(isEmptyVariableStore(new Uint8Array(10))).toBe(false);
    expect(isEmptyVariableStore(emptyVolume().subarray(0, 0x100))).toBe(false);
  });
});
