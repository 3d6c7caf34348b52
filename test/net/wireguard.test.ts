import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { WG_KEY } from '../../src/net/gateway-cache.ts';
import { latestHandshake, parseHandshakes, wireGuardConfig, wireGuardKeys } from '../../src/net/wireguard.ts';
import vectors from '../vectors/gateway.json' with { type: 'json' };

const wg = (args: string[], input: string) => spawnSync('wg', args, { input, encoding: 'utf8' });
const missing = wg(['--version'], '').status !== 0;

describe('WireGuard', () => {
  it.each(vectors.wireguard_config)('has the configuration file byte for byte', (vector) => {
    const { client_ip, servers } = vector.response_wg;
    expect(wireGuardConfig(vector.private_key, { clientIp: client_ip, servers })).toBe(vector.expected_file);
  });

  it('gives the same bytes whatever the order of the answer', () => {
    const servers = ['c', 'a', 'b'].map((pk) => ({ pk, ip: '10.0.0.1', endpoint: 'x:1' }));
    const text = wireGuardConfig('s', { clientIp: '10.0.0.9', servers });
    expect(wireGuardConfig('s', { clientIp: '10.0.0.9', servers: servers.toReversed() })).toBe(text);
  });

  it.skipIf(missing)(`makes keys as the wg tool does (${missing ? 'wg is not installed' : 'compared'})`, () => {
    for (let i = 0; i < 5; i++) {
      const { sk, pk } = wireGuardKeys();
      expect(sk).toMatch(WG_KEY);
      expect(wg(['pubkey'], sk).stdout.trim()).toBe(pk);
      const bytes = Buffer.from(sk, 'base64');
      expect([bytes[0]! & 7, bytes[31]! & 0xc0]).toEqual([0, 0x40]); // clamped, as wg genkey prints them
    }
    expect(wg(['genkey'], '').stdout.trim()).toMatch(WG_KEY);
  });

  it.each([
    ['', undefined],
    ['a=\t0\n', undefined],
    ['a=\t0\nb=\t1700000000\nc=\t1600000000\n', 1_700_000_000],
    ['not a table\n1700000000\n', undefined],
    ['a=\t99999999999999999999\n', undefined],
  ])('reads the latest handshake of %j', (text, expected) => {
    expect(latestHandshake(parseHandshakes(text))).toBe(expected);
  });
});
