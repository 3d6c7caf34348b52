import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { methodName, rpcHandler } from '../../../src/agent/rpc/rpc.ts';
import { SERVICES } from '../../../src/codec/prpc-services.ts';

describe('methodName', () => {
  it.each([
    ['/', undefined, '/GetKey', 'GetKey'],
    ['/', undefined, '/DstackGuest.GetKey', 'DstackGuest.GetKey'],
    ['/', undefined, '/a/b', undefined],
    ['/', undefined, '/', undefined],
    ['/prpc', 'Tappd.', '/prpc/Tappd.X', 'X'],
    ['/prpc', 'Tappd.', '/prpc/Tappd.Tappd.X', 'X'],
    ['/prpc', 'Tappd.', '/prpc/X', 'X'],
    ['/prpc', 'Tappd.', '/prpc/Worker.X', 'Worker.X'],
    ['/prpc', 'Tappd.', '/prpcX', undefined],
    ['/prpc', 'Tappd.', '/X', undefined],
    ['/api', undefined, '/api/Info', 'Info'],
    ['/', undefined, '/Get%4bey', 'GetKey'],
    ['/', undefined, '/%zz', undefined],
  ])('below %s (%s) %s is %s', (base, strip, path, expected) => {
    expect(methodName({ base, ...(strip === undefined ? {} : { strip }) }, path)).toBe(expected);
  });
});

describe('rpcHandler', () => {
  const handler = rpcHandler(
    'DstackGuest',
    {
      GetTlsKey: async ({ subject, alt_names }) => ({ key: subject, certificate_chain: alt_names }),
      GetQuote: async ({ report_data }) => ({
        quote: report_data,
        event_log: '',
        report_data,
        vm_config: '',
        attestation: report_data,
      }),
      Info: () => Promise.reject(new Error('boom')),
    },
    { base: '/' },
  );
  const paths = [...Object.keys(SERVICES.DstackGuest), 'x', '__proto__', 'constructor', ''].map((name) => `/${name}`);
  it('answers anything with 200, 400, 404 or 405 and a body of the announced form', async () => {
    const request = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT'),
      path: fc.oneof(fc.constantFrom(...paths), fc.string()),
      query: fc.oneof(
        fc.constantFrom('', 'json', 'json=1', 'subject=a&alt_names[0]=b', 'report_data=0xab'),
        fc.string(),
      ),
      headers: fc.record({
        'content-type': fc.constantFrom('application/json', 'application/json; charset=utf-8', 'text/plain'),
      }),
      bytes: fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc.json().map((text) => new TextEncoder().encode(text)),
      ),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ bytes, ...given }) => {
        const answer = await handler({ ...given, body: () => bytes });
        expect([200, 400, 404, 405]).toContain(answer.status);
        expect(answer.status === 405).toBe(given.method === 'PUT' && answer.status !== 404);
        if (answer.headers['content-type'] !== 'application/json') return;
        const text = Buffer.from(answer.body as Uint8Array).toString('latin1');
        expect(text).toMatch(/^[\n\x20-\x7e]*$/);
        expect(() => JSON.parse(text)).not.toThrow();
      }),
      { numRuns: 400 },
    );
  });
});
