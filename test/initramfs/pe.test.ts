import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holdsExactly, peSections } from '../../initramfs/lib/pe.ts';

const PE = 0x80;
const OPTIONAL = 0x70;
const TABLE = PE + 24 + OPTIONAL;
const FIRST = 0x400;

/** A PE file with these sections, each rounded up to 512 bytes; only the fields that tell where they are. */
function peFile(sections: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const entries = Object.entries(sections);
  const rounded = (bytes: Uint8Array) => Math.ceil(bytes.length / 512) * 512;
  const file = new Uint8Array(FIRST + entries.reduce((sum, [, bytes]) => sum + rounded(bytes), 0));
  const view = new DataView(file.buffer);
  view.setUint16(0, 0x4d5a);
  view.setUint32(0x3c, PE, true);
  view.setUint32(PE, 0x50450000);
  view.setUint16(PE + 6, entries.length, true);
  view.setUint16(PE + 20, OPTIONAL, true);
  let start = FIRST;
  for (const [i, [name, bytes]] of entries.entries()) {
    const at = TABLE + i * 40;
    file.set(Buffer.from(name), at);
    view.setUint32(at + 8, bytes.length, true);
    view.setUint32(at + 16, rounded(bytes), true);
    view.setUint32(at + 20, start, true);
    file.set(bytes, start);
    start += rounded(bytes);
  }
  return file;
}

const bytes = (text: string) => Buffer.from(text);

describe('sections of a PE file', () => {
  const file = peFile({
    '.osrel': bytes('ID=dstack\n'),
    '.cmdline': bytes('a=b'),
    '.linux': new Uint8Array(700).fill(7),
  });

  it('have their names and bytes', () => {
    const found = peSections(file);
    expect(found.map(({ name, data }) => [name, data.length])).toEqual([
      ['.osrel', 512],
      ['.cmdline', 512],
      ['.linux', 1024],
    ]);
    expect(holdsExactly(found[1]!, bytes('a=b'))).toBe(true);
  });

  it('hold exactly what was put in, neither less nor more', () => {
    const [, cmdline] = peSections(file);
    expect(holdsExactly(cmdline!, bytes('a=c'))).toBe(false);
    expect(holdsExactly(cmdline!, bytes('a='))).toBe(false);
    expect(holdsExactly(cmdline!, bytes('a=b c=d'))).toBe(false);
    expect(holdsExactly(cmdline!, new Uint8Array(513))).toBe(false);
  });

  it('lie within the file, or it is refused', () => {
    expect(() => peSections(file.subarray(0, file.length - 1))).toThrow(
      /section ".linux" at \d+ with 1024 bytes does not lie within/,
    );
    expect(() => peSections(bytes('MZ'))).toThrow('the DOS header at 60');
    expect(() => peSections(new Uint8Array(4096))).toThrow('no MZ at the start');
  });

  it('are read from any bytes without another error than the refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(TABLE + 3 * 40), (noise, at) => {
        const changed = Uint8Array.from(file);
        changed.set(noise.subarray(0, changed.length - at), at);
        try {
          for (const { data } of peSections(changed)) expect(data.length).toBeLessThanOrEqual(changed.length);
        } catch (error) {
          expect((error as Error).message).toMatch(/^not a PE file: /);
        }
      }),
    );
  });
});
