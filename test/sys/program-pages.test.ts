import { expect, it } from 'vitest';
import { unchangedMappings } from '../../src/sys/program-pages.ts';

const block = (line: string, anonymous: number) =>
  `${line}\nSize:                 64 kB\nRss:                  60 kB\nPrivate_Dirty:        0 kB\nAnonymous:      ${String(anonymous).padStart(6)} kB\nVmFlags: rd ex mr mw me\n`;

it('chooses what is read-only, of the program itself, and as the file has it', () => {
  const smaps = [
    block('00200000-02400000 r--p 00000000 fd:01 1234                       /usr/bin/dstack-util', 0),
    block('02400000-05800000 r-xp 02200000 fd:01 1234                       /usr/bin/dstack-util', 0),
    block('05800000-05a00000 r--p 05600000 fd:01 1234                       /usr/bin/dstack-util', 1952), // relocated
    block('05a00000-05b00000 rw-p 05800000 fd:01 1234                       /usr/bin/dstack-util', 0),
    block('05b00000-05c00000 r--s 05800000 fd:01 1234                       /usr/bin/dstack-util', 0),
    block('7f0000000000-7f0000001000 r-xp 00000000 fd:01 99                 /usr/lib/libc.so.6', 0),
    block('7f0000002000-7f0000003000 r--p 00000000 00:00 0 ', 0),
    block('7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                  [vdso]', 0),
  ].join('');
  expect(unchangedMappings(smaps, '/usr/bin/dstack-util')).toEqual([
    { from: 0x200000n, to: 0x2400000n },
    { from: 0x2400000n, to: 0x5800000n },
  ]);
  expect(unchangedMappings('', '/usr/bin/dstack-util')).toEqual([]);
});
