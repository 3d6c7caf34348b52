import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { osReleaseValue } from '../../src/config/os-release.ts';

describe('the kernel command line', () => {
  it('keeps every occurrence: some parameters take the first, others the last', () => {
    const line = parseCmdline('root=/dev/vda dstack.storage_fs=zfs quiet  a=1 a=2\ndstack.storage_fs=ext4 x=\n');
    expect(line.first('a')).toBe('1');
    expect(line.last('a')).toBe('2');
    expect(line.last('dstack.storage_fs')).toBe('ext4');
    expect(line.has('quiet')).toBe(true);
    expect(line.first('quiet')).toBe('');
    expect(line.first('x')).toBe('');
    expect(line.first('missing')).toBeUndefined();
    expect(line.has('constructor')).toBe(false);
  });

  it('cuts at the first = and honours double quotes', () => {
    const line = parseCmdline('root=PARTLABEL=x name="a b" "other=c d" open="e f');
    expect(line.first('root')).toBe('PARTLABEL=x');
    expect(line.first('name')).toBe('a b');
    expect(line.first('other')).toBe('c d');
    expect(line.first('open')).toBe('e f');
  });

  it('finds what was written, and never throws', () => {
    const word = fc.stringMatching(/^[a-z_.0-9]{1,8}$/);
    fc.assert(
      fc.property(fc.uniqueArray(word, { minLength: 1, maxLength: 6 }), word, (keys, value) => {
        const line = parseCmdline(keys.map((key) => `${key}=${value}`).join(' '));
        for (const key of keys) expect(line.last(key)).toBe(value);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void parseCmdline(text)));
  });
});

describe('os-release', () => {
  const TEXT = [
    '# comment',
    '',
    'NAME="Debian \\"GNU\\" \\$x"',
    "PRETTY_NAME='a \\b'",
    '  VERSION_ID=0.5.4  ',
    'VERSION_ID=9',
    'X_VERSION_ID=1',
    'EMPTY=',
    'ODD="',
    'HALF="x',
  ].join('\n');

  it.each([
    ['NAME', 'Debian "GNU" $x'],
    ['PRETTY_NAME', 'a \\b'],
    ['VERSION_ID', '0.5.4'],
    ['EMPTY', ''],
    ['ODD', '"'],
    ['HALF', '"x'],
    ['MISSING', undefined],
    ['ERSION_ID', undefined],
  ])('%s is %j', (key, value) => {
    expect(osReleaseValue(TEXT, key)).toBe(value);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), fc.string(), (text, key) => void osReleaseValue(text, key)));
  });
});
