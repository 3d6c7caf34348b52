/** Small texts that decide much: addresses of services, sizes, versions, queries of logs, the preface of HTTP/2. */
import { parseLogQuery } from '../../../src/agent/figures/logs.ts';
import { proxyBase } from '../../../src/boot/setup/gpu-evidence.ts';
import { parseHumanSize } from '../../../src/config/human-size.ts';
import { satisfies } from '../../../src/config/semver.ts';
import { Http2Refusal } from '../../../src/http/http2.ts';
import { splitEndpoint } from '../../../src/net/gateway-response.ts';
import { hostHeader, parseEndpoint } from '../../../src/net/transport.ts';
import { oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 1024,
  dictionary: [
    'vsock://2:1000/api',
    'unix:/a',
    'http://[::1]:80/',
    'https://a:443',
    '@',
    '?',
    '#',
    '%2f',
    '\\',
    '4294967296',
    '64M',
    '1.5G',
    '>=0.5.0, <0.6',
    '^1.2.3-rc.1+b',
    '*',
    'since=1h&until=2026-01-01T00:00:00Z',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'SM\r\n\r\n',
    Uint8Array.of(0, 0, 0, 1, 5, 0, 0, 0, 1),
  ],
  run: oneOf(
    (bytes) => {
      const endpoint = parseEndpoint(utf8(bytes), true);
      if (/[\r\n]/.test(hostHeader(endpoint) + endpoint.base)) throw new Error('a line break in a request');
      if (endpoint.kind === 'http' || endpoint.kind === 'https') {
        if (!(endpoint.port >= 0 && endpoint.port < 65_536)) throw new Error(`port ${endpoint.port}`);
        if (endpoint.host === '') throw new Error('no host');
      }
    },
    (bytes) => {
      const text = utf8(bytes);
      const found = splitEndpoint(text);
      if (found !== undefined && /[\s;'"`$]/.test(found.host)) throw new Error(`host ${found.host}`);
    },
    (bytes) => {
      if (parseHumanSize(utf8(bytes)) < 0n) throw new Error('less than nothing');
    },
    (bytes) => {
      const [version = '', wanted = ''] = utf8(bytes).split('\n');
      satisfies(version, wanted);
    },
    (bytes) => void parseLogQuery(utf8(bytes), 1_800_000_000),
    (bytes) => {
      const base = proxyBase(utf8(bytes));
      if (base !== undefined) same('the origin alone', new URL(base).origin, base);
    },
    (bytes) => {
      const whole = new Http2Refusal();
      const all = whole.push(bytes);
      const cut = new Http2Refusal();
      let first: Uint8Array | undefined;
      for (const byte of bytes) first ??= cut.push(Uint8Array.of(byte));
      same('cut at every byte', first ?? null, all ?? null);
      same('the last word', cut.goodbye(), whole.goodbye());
    },
  ),
};
export default target;
