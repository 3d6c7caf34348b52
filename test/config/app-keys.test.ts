import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AppKeys,
  formatAppKeys,
  type KeyProviderRecord,
  parseAppKeys,
  providerId,
  wipeAppKeys,
} from '../../src/config/app-keys.ts';
import { DstackError } from '../../src/errors.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

const PROVIDERS: KeyProviderRecord[] = [
  { kind: 'none', key: 'PEM-SECRET' },
  { kind: 'local', key: 'PEM-SECRET', mr: filled(32, 1) },
  { kind: 'tpm', key: 'PEM-SECRET', pubkey: filled(91, 2) },
  { kind: 'kms', url: 'https://kms/prpc', pubkey: filled(91, 3), tmpCaKey: 'PEM-SECRET', tmpCaCert: 'CERT' },
];

const keysWith = (keyProvider: KeyProviderRecord): AppKeys => ({
  diskCryptKey: filled(32, 0xd1),
  envCryptKey: filled(32, 0xe1),
  k256Key: filled(32, 0xc1),
  k256Signature: filled(65, 0x51),
  gatewayAppId: 'any',
  caCert: 'CA\n',
  keyProvider,
});

describe('.appkeys.json', () => {
  it.each(PROVIDERS)('round trips for provider $kind', (provider) => {
    const keys = keysWith(provider);
    expect(parseAppKeys(bytes(formatAppKeys(keys)))).toEqual(keys);
    expect(parseAppKeys(bytes(formatAppKeys(keys, true)))).toEqual(keys);
  });

  it('has its exact key order and tags', () => {
    expect(formatAppKeys(keysWith(PROVIDERS[0]!))).toBe(
      `{"disk_crypt_key":"${'d1'.repeat(32)}","env_crypt_key":"${'e1'.repeat(32)}","k256_key":"${'c1'.repeat(32)}",` +
        `"k256_signature":"${'51'.repeat(65)}","gateway_app_id":"any","ca_cert":"CA\\n",` +
        `"key_provider":{"None":{"key":"PEM-SECRET"}}}`,
    );
    const tail = (provider: KeyProviderRecord) =>
      JSON.stringify(JSON.parse(formatAppKeys(keysWith(provider))).key_provider);
    expect(tail(PROVIDERS[1]!)).toBe(`{"Local":{"key":"PEM-SECRET","mr":"${'01'.repeat(32)}"}}`);
    expect(tail(PROVIDERS[2]!)).toBe(`{"Tpm":{"key":"PEM-SECRET","pubkey":"${'02'.repeat(91)}"}}`);
    expect(tail(PROVIDERS[3]!)).toBe(
      `{"Kms":{"url":"https://kms/prpc","pubkey":"${'03'.repeat(91)}","tmp_ca_key":"PEM-SECRET","tmp_ca_cert":"CERT"}}`,
    );
  });

  it('names the provider by the right bytes', () => {
    expect(PROVIDERS.map((keyProvider) => providerId({ keyProvider }).length)).toEqual([0, 32, 0, 91]);
  });

  it('takes an absent env_crypt_key as empty, an empty signature, and an empty disk key: the disk of a guest is open', () => {
    const document = JSON.parse(formatAppKeys(keysWith(PROVIDERS[0]!)));
    delete document.env_crypt_key;
    document.k256_signature = '';
    document.disk_crypt_key = '';
    const keys = parseAppKeys(bytes(JSON.stringify(document)));
    expect(keys.envCryptKey).toHaveLength(0);
    expect(keys.k256Signature).toHaveLength(0);
    expect(keys.diskCryptKey).toHaveLength(0);
    expect(JSON.parse(formatAppKeys(keys)).disk_crypt_key).toBe('');
  });

  const change = (changes: object) => ({ ...JSON.parse(formatAppKeys(keysWith(PROVIDERS[0]!))), ...changes });
  it.each([
    [{ disk_crypt_key: undefined }, 'disk_crypt_key'],
    [{ disk_crypt_key: 'SECRETXX' }, 'disk_crypt_key'],
    [{ disk_crypt_key: 'abcd' }, 'disk_crypt_key'],
    [{ k256_key: 12_345 }, 'k256_key'],
    [{ k256_key: '5ec2e7' }, 'k256_key'],
    [{ k256_signature: 'ab' }, 'k256_signature'],
    [{ gateway_app_id: undefined }, 'gateway_app_id'],
    [{ ca_cert: undefined }, 'ca_cert'],
    [{ key_provider: undefined }, 'key_provider'],
    [{ key_provider: 'None' }, 'key_provider'],
    [{ key_provider: {} }, 'key_provider'],
    [{ key_provider: { none: { key: 'SECRET' } } }, 'key_provider'],
    [{ key_provider: { None: { key: 'SECRET' }, Tpm: { key: 'SECRET' } } }, 'key_provider'],
    [{ key_provider: { None: {} } }, 'key_provider.None.key'],
    [{ key_provider: { Local: { key: 'SECRET' } } }, 'key_provider.Local.mr'],
    [{ key_provider: { Kms: { url: 'x', pubkey: '' } } }, 'key_provider.Kms.tmp_ca_key'],
  ])('refuses %j without showing it', (changes, field) => {
    try {
      parseAppKeys(bytes(JSON.stringify(change(changes))), '/k.json');
      expect.unreachable();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'KEYS_FILE_INVALID', path: '/k.json', field, value: undefined });
      expect(JSON.stringify(thrown)).not.toMatch(/SECRET|5ec2e7|12345/);
    }
  });

  it('does not quote a file that is not JSON', () => {
    for (const text of ['SECRET', '{"SECRET":1,"SECRET":2}']) {
      try {
        parseAppKeys(bytes(text));
        expect.unreachable();
      } catch (thrown) {
        expect((thrown as DstackError).code).toBe('KEYS_FILE_INVALID');
        expect(JSON.stringify(thrown)).not.toContain('SECRET');
      }
    }
  });

  it('throws nothing but a DstackError', () => {
    const names = ['disk_crypt_key', 'env_crypt_key', 'k256_key', 'k256_signature', 'ca_cert', 'key_provider'];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.jsonValue()), (changes) => {
        try {
          parseAppKeys(bytes(JSON.stringify(change(changes))));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('wipes its secrets', () => {
    const keys = keysWith(PROVIDERS[0]!);
    wipeAppKeys(keys);
    for (const secret of [keys.diskCryptKey, keys.envCryptKey, keys.k256Key]) {
      expect(secret.every((byte) => byte === 0)).toBe(true);
    }
  });
});
