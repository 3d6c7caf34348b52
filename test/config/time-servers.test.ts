import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { chronySources, timeServers } from '../../src/config/time-servers.ts';
import { DstackError } from '../../src/errors.ts';
import { failure } from '../failure.ts';

const servers = (value: string) => timeServers(parseCmdline(`quiet dstack.nts=${value} dstack.nts=later.example`));

it('reads time servers from the kernel command line, and writes them for chrony', () => {
  expect(timeServers(parseCmdline('quiet'))).toEqual([]);
  const found = servers('time.cloudflare.com,nts.example:4461');
  expect(found).toEqual([
    { name: 'time.cloudflare.com', port: 4460 },
    { name: 'nts.example', port: 4461 },
  ]);
  expect(chronySources(found)).toBe(
    'server time.cloudflare.com iburst nts\nserver nts.example iburst nts ntsport 4461\n',
  );
});

it.each(['', ',', 'a,', '192.0.2.1', 'a b', 'a:0', 'a:65536', 'a:', '-a', 'a..b', 'ä.example', 'a;b', 'x'.repeat(64)])(
  'refuses %j: a server that is left out would be a weaker clock',
  (value) => {
    const cmdline = { first: () => value, last: () => value, has: () => true };
    expect(failure(() => timeServers(cmdline))).toMatchObject({ code: 'CONFIG_INVALID', field: 'dstack.nts' });
  },
);

it('refuses more than eight', () => {
  expect(failure(() => servers(Array(9).fill('a').join(',')))).toMatchObject({ code: 'CONFIG_INVALID' });
});

it('writes nothing but server lines, whatever the command line holds', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9.:,\n -]{0,30}$/));
  fc.assert(
    fc.property(text, (value) => {
      try {
        const written = chronySources(timeServers({ first: () => value, last: () => value, has: () => true }));
        for (const line of written.split('\n'))
          expect(line).toMatch(/^(server [A-Za-z0-9.-]+ iburst nts( ntsport \d+)?)?$/);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(DstackError);
      }
    }),
    { numRuns: 2000 },
  );
});
