import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { type CallGateway, gatewayRpcUrl, isAllowedGateway, register } from '../../src/net/gateway-register.ts';
import { parseRegistration, splitEndpoint } from '../../src/net/gateway-response.ts';
import { wireGuardConfig } from '../../src/net/wireguard.ts';
import { failure } from '../failure.ts';

const PK = `${'B'.repeat(42)}A=`;
const ANSWER = { wg: { client_ip: '10.4.0.7', servers: [{ pk: PK, ip: '10.4.0.1/24', endpoint: 'gw.example:9182' }] } };
const IDENTITY = {
  clientCert: 'plain',
  clientCertWithQuote: 'with quote',
  clientKey: 'key',
  certNotAfter: 0,
  wgSk: 'secret',
  wgPk: PK,
};
const APP = { portPolicy: { ports: [{ port: 80, pp: true }], restrictMode: true } };

/** A gateway per URL: answers, or throws. Notes who asked with which certificate. */
function gateways(answers: Record<string, (certificate: string) => unknown>) {
  const calls: string[] = [];
  const bodies: unknown[] = [];
  const call: CallGateway = async (url, body, { certificate }) => {
    calls.push(`${url} ${certificate}`);
    bodies.push(body);
    return answers[url]?.(certificate);
  };
  return { calls, bodies, call };
}
const refuse = (message: string) => () => {
  throw new DstackError('GATEWAY_FAILED', 'RegisterCvm failed with status 400', { cause: message });
};

describe('registration with a gateway', () => {
  it('sends the WireGuard key and always the port policy', async () => {
    const { call, bodies } = gateways({ 'https://a/prpc': () => ANSWER });
    const done = await register(['https://a'], IDENTITY, APP, call, []);
    expect(done).toMatchObject({ url: 'https://a', clientIp: '10.4.0.7' });
    expect(bodies).toEqual([
      { client_public_key: PK, port_policy: { ports: [{ port: 80, pp: true }], restrict_mode: true } },
    ]);
  });

  it('says that the app asks for health checks only when it does', async () => {
    for (const healthCheck of [true, false]) {
      const { call, bodies } = gateways({ 'https://a/prpc': () => ANSWER });
      await register(['https://a'], IDENTITY, { ...APP, requirements: { healthCheck } }, call, []);
      expect((bodies[0] as Record<string, unknown>)['health_check']).toBe(healthCheck ? true : undefined);
    }
  });

  it.each([
    ['https://a', 'https://a/prpc'],
    ['https://a/', 'https://a/prpc'],
    ['https://a/prpc', 'https://a/prpc'],
    ['https://a/prpc/', 'https://a/prpc'],
    ['https://a/x', 'https://a/x/prpc'],
  ])('finds the service of %s', (url, expected) => {
    expect(gatewayRpcUrl(url)).toBe(expected);
  });

  it('asks the next one when one fails', async () => {
    const { call, calls } = gateways({ 'https://a/prpc': refuse('x'), 'https://b/prpc': () => ANSWER });
    expect((await register(['https://a', 'https://b', 'https://c'], IDENTITY, APP, call, [])).url).toBe('https://b');
    expect(calls).toEqual(['https://a/prpc plain', 'https://b/prpc plain']);
  });

  it('asks the next one when one answers nonsense', async () => {
    const { call } = gateways({ 'https://a/prpc': () => ({ wg: {} }), 'https://b/prpc': () => ANSWER });
    expect((await register(['https://a', 'https://b'], IDENTITY, APP, call, [])).url).toBe('https://b');
  });

  it('tells the words of each when all fail', async () => {
    const { call } = gateways({ 'https://a/prpc': refuse('first'), 'https://b/prpc': refuse('second') });
    await expect(register(['https://a', 'https://b'], IDENTITY, APP, call, [])).rejects.toMatchObject({
      code: 'GATEWAY_UNREACHABLE',
      message: 'failed to register CVM, all dstack-gateway urls are down',
      cause: expect.stringMatching(/^https:\/\/a: .*first; https:\/\/b: .*second$/),
    });
  });

  it('shows an older gateway the certificate with a quote, once', async () => {
    const older = (certificate: string) => {
      if (certificate === 'with quote') return ANSWER;
      return refuse('no attestation provided')();
    };
    const { call, calls } = gateways({ 'https://a/prpc': older });
    await register(['https://a'], IDENTITY, APP, call, []);
    expect(calls).toEqual(['https://a/prpc plain', 'https://a/prpc with quote']);
    const stubborn = gateways({ 'https://a/prpc': refuse('no attestation provided') });
    await expect(register(['https://a'], IDENTITY, APP, stubborn.call, [])).rejects.toBeDefined();
    expect(stubborn.calls).toHaveLength(2);
  });
});

describe('who may be a gateway', () => {
  it.each([
    ['0xABCD', 'abcd', true],
    ['abcd,ef01', 'ef01', true],
    ['abcd', 'ef01', false],
    ['abcd', '', false],
    ['', 'abcd', false],
  ])('allowed %j, app id %j: %s', (allowed, appId, expected) => {
    expect(isAllowedGateway(allowed, appId)).toBe(expected);
  });
});

describe('the answer of a gateway', () => {
  const [SERVER] = ANSWER.wg.servers;
  const server = (change: object) => ({ wg: { ...ANSWER.wg, servers: [{ ...SERVER, ...change }] } });
  it.each([
    ['wg', {}],
    ['wg', { wg: null }],
    ['wg.client_ip', { wg: { ...ANSWER.wg, client_ip: '10.4.0.7\nPostUp = id' } }],
    ['wg.client_ip', { wg: { ...ANSWER.wg, client_ip: '10.4.0.7/32' } }],
    ['wg.client_ip', { wg: { ...ANSWER.wg, client_ip: 'fd00::1' } }],
    ['wg.client_ip', { wg: { ...ANSWER.wg, client_ip: 7 } }],
    ['wg.servers', { wg: { ...ANSWER.wg, servers: 'x' } }],
    ['wg.servers', { wg: { ...ANSWER.wg, servers: Array(65).fill(SERVER) } }],
    ['wg.servers[0].pk', server({ pk: `${PK}\n` })],
    ['wg.servers[0].pk', server({ pk: 'short' })],
    ['wg.servers[0].pk', server({ pk: undefined })],
    ['wg.servers[0].ip', server({ ip: '10.4.0.1/33' })],
    ['wg.servers[0].ip', server({ ip: '10.4.0.1/24/8' })],
    ['wg.servers[0].ip', server({ ip: '0.0.0.0, 10.0.0.1' })],
    ['wg.servers[0].endpoint', server({ endpoint: 'gw.example' })],
    ['wg.servers[0].endpoint', server({ endpoint: 'gw.example:0' })],
    ['wg.servers[0].endpoint', server({ endpoint: 'gw.example:65536' })],
    ['wg.servers[0].endpoint', server({ endpoint: '-j ACCEPT:1' })],
    ['wg.servers[0].endpoint', server({ endpoint: '10.0.0.999:1' })],
    ['wg.servers[0].endpoint', server({ endpoint: 'a:1\nPostUp = id' })],
  ])('is refused for %s %#', (field, answer) => {
    expect(failure(() => parseRegistration(answer, 'https://a', []))).toMatchObject({ code: 'GATEWAY_FAILED', field });
  });

  it.each(['gw.example:9182', '10.0.0.1:1', '[2001:db8::1]:65535', 'a_b-c.d:80'])(
    'may name the endpoint %s',
    (text) => {
      expect(splitEndpoint(text)).toBeDefined();
    },
  );

  it('adds nothing to the file that wg-quick executes, whatever it holds', () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('10.0.0.1', PK, 'gw:1', 'gw:1\nPostUp = x', '10.0.0.1/8'));
    const answers = fc.record({
      client_ip: text,
      servers: fc.array(fc.record({ pk: text, ip: text, endpoint: text }), { maxLength: 3 }),
    });
    const line =
      /^(\[Interface\]|\[Peer\]|(PrivateKey|ListenPort|Address|PublicKey|AllowedIPs|Endpoint|PersistentKeepalive) = \S+|)$/;
    fc.assert(
      fc.property(answers, (wg) => {
        try {
          const config = wireGuardConfig('secret', parseRegistration({ wg }, 'u', []));
          for (const one of config.split('\n')) expect(one).toMatch(line);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
