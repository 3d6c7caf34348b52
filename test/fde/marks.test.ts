import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Content } from '../../src/fde/content.ts';
import { encodeMark, MARK_SIZE, type Mark, marksContent, parseMark } from '../../src/fde/marks.ts';

const anyMark = fc.record({ initialising: fc.boolean(), ephemeral: fc.boolean(), uuid: fc.uuid() });
const mark: Mark = { initialising: true, ephemeral: false, uuid: '37230443-192d-49f8-98c1-9964a91f8a1f' };

describe('a mark', () => {
  it('property: is one sector and is read as it was written', () => {
    fc.assert(
      fc.property(anyMark, (written) => {
        const bytes = encodeMark(written);
        expect(bytes.length).toBe(MARK_SIZE);
        expect(parseMark(bytes)).toEqual(written);
      }),
    );
  });

  it('property: with any other bit it is none', () => {
    fc.assert(
      fc.property(anyMark, fc.nat(MARK_SIZE * 8 - 1), (written, bit) => {
        const bytes = encodeMark(written);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(parseMark(bytes)).toBeUndefined();
      }),
    );
  });

  it('property: nothing else is one', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => parseMark(bytes) === undefined));
  });

  const cases: [string, Content, boolean, boolean][] = [
    ['its own LUKS header', { kind: 'luks', uuid: mark.uuid }, true, true],
    ['the LUKS header of another volume', { kind: 'luks', uuid: '5a230443-192d-49f8-98c1-9964a91f8a1f' }, true, false],
    ['a LUKS header, without encryption', { kind: 'luks', uuid: mark.uuid }, false, false],
    ['ext4 where encryption is wanted', { kind: 'ext4' }, true, false],
    ['unfinished ext4 without encryption', { kind: 'ext4' }, false, true],
    ['the format of somebody else', { kind: 'unknown', seen: 'xfs', foreign: true }, true, false],
    ['what an interrupted write left', { kind: 'unknown', seen: 'noise', foreign: false }, true, true],
    ['a blank device', { kind: 'blank' }, true, true],
  ];
  it.each(cases)('and %s', (_, content, encrypted, counts) => {
    expect(marksContent(mark, content, encrypted)).toBe(counts);
    expect(marksContent(undefined, content, encrypted)).toBe(false);
  });
});
