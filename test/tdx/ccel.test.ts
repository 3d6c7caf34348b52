import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { DstackError } from '../../src/errors.ts';
import { parseCcel, readCcel } from '../../src/tdx/ccel.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';

const TABLE = mockCcel();

/** offset of the terminator: the events are counted off, not searched */
function terminator(): number {
  const view = new DataView(TABLE.buffer);
  let at = 32 + view.getUint32(28, true);
  while (view.getUint32(at, true) !== 0xffffffff) at += 12 + 50 + 4 + view.getUint32(at + 62, true);
  return at;
}

/** The table with a few bytes changed at an offset. */
function changed(offset: number, ...bytes: number[]): Uint8Array {
  const copy = Uint8Array.from(TABLE);
  copy.set(bytes, offset);
  return copy;
}

const FIRST = 32 + 33; // the header event: 32 bytes and its data
const refused = expect.objectContaining({ code: 'CCEL_INVALID' });

describe('boot event log', () => {
  it('is parsed up to its terminator', () => {
    const events = parseCcel(TABLE);
    expect(events).toHaveLength(19);
    expect(events.map(({ imr }) => imr)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 1, 1]);
    expect(events[0]).toMatchObject({ imr: 0, eventType: 0x8000000b, event: '', version: 1 });
    expect(events.every(({ digest }) => digest.length === 48)).toBe(true);
  });

  it('names the three ACPI tables', () => {
    const named = parseCcel(TABLE).filter(({ event }) => event !== '');
    expect(named.map(({ event }) => event)).toEqual(['acpi-loader', 'acpi-rsdp', 'acpi-tables']);
    expect(named.every(({ payload }) => Buffer.from(payload).toString() === 'ACPI DATA')).toBe(true);
  });

  it('reads the same from a Buffer with an offset, and copies out of it', () => {
    const bigger = Buffer.concat([Buffer.alloc(7), TABLE]);
    const events = parseCcel(bigger.subarray(7));
    bigger.fill(0);
    expect(events).toEqual(parseCcel(TABLE));
  });

  it('ends exactly at a terminator that is the last word', () => {
    expect(parseCcel(TABLE.subarray(0, terminator() + 4))).toHaveLength(19);
  });

  it('must have a terminator', () => {
    expect(() => parseCcel(TABLE.subarray(0, terminator()))).toThrowError(refused);
  });

  it('is refused at every place where it can be cut', () => {
    for (let size = 0; size < terminator() + 4; size++) {
      expect(() => parseCcel(TABLE.subarray(0, size)), `cut at ${size}`).toThrowError(refused);
    }
  });

  it('drops events of register 0 and refuses registers that do not exist', () => {
    expect(parseCcel(changed(FIRST, 0))).toHaveLength(18);
    expect(() => parseCcel(changed(FIRST, 5))).toThrowError(/register 5/);
  });

  it.each([0, 2, 3])('refuses an event with %i digests, even if they are all there', (count) => {
    const digests = Buffer.concat(Array.from({ length: count }, () => TABLE.subarray(FIRST + 12, FIRST + 62)));
    const head = Uint8Array.from(TABLE.subarray(0, FIRST + 12));
    head[FIRST + 8] = count;
    const table = Buffer.concat([head, digests, TABLE.subarray(FIRST + 62)]);
    expect(() => parseCcel(table)).toThrowError(new RegExp(`event has ${count} digests`));
  });

  it('refuses an unknown digest algorithm', () => {
    expect(() => parseCcel(changed(FIRST + 12, 0x12, 0))).toThrowError(/0x12/);
  });

  it.each([
    [65_536, true],
    [65_537, false],
  ])('event data of %i bytes: accepted is %s', (size, accepted) => {
    const data = Buffer.alloc(4 + size);
    data.writeUInt32LE(size);
    const table = Buffer.concat([TABLE.subarray(0, FIRST + 62), data, TABLE.subarray(terminator())]);
    if (accepted) expect(parseCcel(table)[0]?.payload).toHaveLength(size);
    else expect(() => parseCcel(table)).toThrowError(refused);
  });

  it('refuses event data of 4 GiB', () => {
    expect(() => parseCcel(changed(FIRST + 62, 0xff, 0xff, 0xff, 0xff))).toThrowError(refused);
  });

  it('refuses a header that lies about its algorithms or vendor data', () => {
    expect(() => parseCcel(changed(32 + 24, 0xff, 0xff, 0xff, 0x7f))).toThrowError(refused);
    expect(() => parseCcel(changed(32 + 32, 0x05))).toThrowError(refused);
  });

  it('does not follow a digest count of 4 billion beyond the table', () => {
    expect(() => parseCcel(changed(FIRST + 8, 0xff, 0xff, 0xff, 0xff))).toThrowError(refused);
  });

  it('throws nothing but its own error, whatever is changed', () => {
    const edit = fc.tuple(fc.integer({ min: 0, max: terminator() + 8 }), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 4 }), (edits) => {
        const copy = Uint8Array.from(TABLE);
        for (const [offset, bytes] of edits) copy.set(bytes, offset);
        try {
          parseCcel(copy);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

describe('reading', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('follows the override, which must be an absolute path', async () => {
    const root = mkdtempSync(join(tmpdir(), 'ccel-'));
    try {
      writeFileSync(join(root, 'CCEL'), TABLE);
      vi.stubEnv('DSTACK_CCEL_FILE', join(root, 'CCEL'));
      expect(await readCcel(realTdxMachine)).toHaveLength(19);
      for (const bad of ['', 'CCEL', join(root, 'missing')]) {
        vi.stubEnv('DSTACK_CCEL_FILE', bad);
        await expect(readCcel(realTdxMachine)).rejects.toMatchObject({ code: 'CCEL_UNAVAILABLE' });
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('misses the table of the firmware by name', async () => {
    await expect(readCcel({ ...realTdxMachine, root: '/nonexistent' })).rejects.toMatchObject({
      code: 'CCEL_UNAVAILABLE',
      path: '/nonexistent/sys/firmware/acpi/tables/data/CCEL',
    });
  });
});
