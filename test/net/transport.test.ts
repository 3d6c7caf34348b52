import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { hostHeader, parseEndpoint } from '../../src/net/transport.ts';

describe('parseEndpoint', () => {
  it.each([
    ['vsock://2:10240/api', { kind: 'vsock', cid: 2, port: 10240, base: '/api' }],
    ['vsock://4294967295:1', { kind: 'vsock', cid: 4294967295, port: 1, base: '' }],
    ['http://10.0.2.100:80/api/', { kind: 'http', host: '10.0.2.100', port: 80, base: '/api' }],
    ['http://[::1]:9000', { kind: 'http', host: '::1', port: 9000, base: '' }],
    ['unix:/run/host.sock', { kind: 'unix', path: '/run/host.sock', base: '' }],
    ['unix:///run/host.sock', { kind: 'unix', path: '/run/host.sock', base: '' }],
  ])('%s', (url, endpoint) => {
    expect(parseEndpoint(url)).toEqual(endpoint);
  });

  it.each([
    'vsock://2/api',
    'vsock://5000000000:1/api',
    'vsock://2:1/api?x',
    'https://example.org/api',
    'ftp://example.org',
    'http://user:pass@example.org/',
    'http://example.org/?a=b',
    'unix:relative.sock',
    'example',
    '',
  ])('refuses %j', (url) => {
    expect(() => parseEndpoint(url)).toThrowError(DstackError);
  });

  it('answers every text with an endpoint or a typed error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.string().map((s) => `vsock://${s}`),
        ),
        (text) => {
          try {
            parseEndpoint(text);
          } catch (thrown) {
            expect(thrown).toMatchObject({ code: 'CONFIG_INVALID' });
          }
        },
      ),
    );
  });

  it('puts the port into the Host header unless it is the default', () => {
    expect(hostHeader(parseEndpoint('http://a.example/api'))).toBe('a.example');
    expect(hostHeader(parseEndpoint('http://[::1]:81/'))).toBe('[::1]:81');
    expect(hostHeader(parseEndpoint('unix:/x'))).toBe('localhost');
  });
});
