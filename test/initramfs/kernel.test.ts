import { describe, expect, it } from 'vitest';
import { keyOf } from '../../initramfs/lib/cache.ts';
import { bzImagePayload, unpacker } from '../../initramfs/lib/kernel.ts';

function bzImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(0x2000 + payload.length);
  image.writeUInt8(3, 0x1f1); // four sectors with the boot sector
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(0x1800, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  payload.copy(image, 4 * 512 + 0x1800);
  return image;
}

describe('kernel image', () => {
  it('is found behind the setup header', () => {
    expect(bzImagePayload(bzImage(Buffer.from('payload'))).toString()).toBe('payload');
  });

  it('is refused when it is something else or too short', () => {
    expect(() => bzImagePayload(Buffer.alloc(16))).toThrow(/not a bzImage/);
    expect(() => bzImagePayload(bzImage(Buffer.from('payload')).subarray(0, 0x2001))).toThrow(/without a payload/);
  });

  it('is unpacked by its magic number', () => {
    expect(unpacker(Buffer.from('28b52ffd0000', 'hex'))[0]).toBe('zstd');
    expect(unpacker(Buffer.from('fd377a585a00', 'hex'))[0]).toBe('xz');
    expect(() => unpacker(Buffer.from('000000000000', 'hex'))).toThrow(/unknown way/);
  });
});

describe('cache keys', () => {
  it('differ with every input', () => {
    expect(keyOf('a', ['b'])).toBe(keyOf('a', ['b']));
    expect(new Set([keyOf('a', 'b'), keyOf('ab'), keyOf('a', ['b']), keyOf('b', 'a')]).size).toBe(4);
  });
});
