/** A KMS with a good certificate and bad answers: what it sends is looked at before anything is done with it. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import { issueKeys } from '../../simulator/kms/derive.ts';
import { freshRoots, type KmsRoots } from '../../simulator/kms/roots.ts';
import { rpcCertificate } from '../../simulator/kms/rpc-certificate.ts';
import { toHex } from '../../src/codec/hex.ts';
import { errorChain } from '../../src/errors.ts';
import { isK256Scalar } from '../../src/keys/k256-scalar.ts';
import { privateKeyPem } from '../../src/keys/tls-key.ts';
import { requestAppKeys } from '../../src/net/kms-client.ts';
import { KMS_USAGE } from '../../src/net/ra-tls-client.ts';
import { rejection } from '../failure.ts';
import { guest } from '../simulator/kms/guest.ts';

const app = guest();
let roots: KmsRoots;
let server: Server | undefined;
let good: Record<'GetTempCaCert' | 'GetAppKey', Record<string, unknown>>;

beforeAll(async () => {
  roots = await freshRoots();
  const keys = issueKeys(roots, new Uint8Array(20), new Uint8Array(20));
  good = {
    GetTempCaCert: {
      temp_ca_cert: roots.tempCa.certificate,
      temp_ca_key: privateKeyPem(roots.tempCa.key),
      ca_cert: roots.ca.certificate,
    },
    GetAppKey: {
      ca_cert: '',
      disk_crypt_key: toHex(keys.diskCryptKey),
      env_crypt_key: toHex(keys.envCryptKey),
      k256_key: toHex(keys.k256Key),
      k256_signature: toHex(keys.k256Signature),
      gateway_app_id: 'any',
      os_image_hash: '',
    },
  };
});
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
  server = undefined;
});

/** Asks a KMS that answers with this text, or with the good one. */
async function ask(answers: Partial<Record<'GetTempCaCert' | 'GetAppKey', string>>, status = 200) {
  const { key, certificate } = await rpcCertificate(roots, '127.0.0.1', undefined, {});
  const running = createServer({ key, cert: certificate }, (request, response) => {
    const method = /\/prpc\/(\w+)\?json$/.exec(request.url ?? '')?.[1] as keyof typeof good;
    const text = answers[method];
    request.resume();
    response.writeHead(text === undefined ? 200 : status);
    response.end(text ?? JSON.stringify(good[method]));
  });
  server = running;
  const port = await new Promise<number>((resolve) => {
    running.listen(0, '127.0.0.1', () => resolve((running.address() as AddressInfo).port));
  });
  return requestAppKeys({ urls: [`https://127.0.0.1:${port}`], vmConfig: '', attest: app.attest, usage: KMS_USAGE });
}

it('takes the good answers, also without the hash of the image', async () => {
  const keys = await ask({});
  expect(toHex(keys.diskCryptKey)).toBe(good.GetAppKey['disk_crypt_key']);
});

it('makes no further text of the keys: each one is a copy that nobody can wipe', async () => {
  const written = vi.spyOn(JSON, 'stringify');
  try {
    // the server writes its answer once; the client must not write it again
    await ask({});
    const withKey = written.mock.results.filter(({ value }) =>
      String(value).includes(String(good.GetAppKey['k256_key'])),
    );
    expect(withKey).toHaveLength(1);
  } finally {
    written.mockRestore();
  }
});

const SECRET = 'ab'.repeat(31);
it.each([
  ['a disk key of another length', { disk_crypt_key: SECRET }, /disk_crypt_key .* has 31 bytes instead of 32/],
  ['a disk key of zeros', { disk_crypt_key: '00'.repeat(32) }, /disk_crypt_key .* is all zero/],
  ['no environment key', { env_crypt_key: '' }, /env_crypt_key .* has 0 bytes/],
  ['an app key that is not a scalar', { k256_key: 'ff'.repeat(32) }, /k256_key .* is not a secp256k1 key/],
  ['a short signature', { k256_signature: SECRET }, /k256_signature .* has 31 bytes instead of 65/],
  ['an odd hex digit', { disk_crypt_key: `${SECRET}a` }, /field disk_crypt_key has an odd number/],
  ['a number for a key', { k256_key: 7 }, /field k256_key must be a string of hex digits/],
])('refuses %s, without a word of the key', async (_, changed, why) => {
  const refused = await rejection(ask({ GetAppKey: JSON.stringify({ ...good.GetAppKey, ...changed }) }));
  expect(refused.code).toBe('KMS_ANSWER_INVALID');
  expect(errorChain(refused)).toMatch(why);
  expect(JSON.stringify(refused.toJSON())).not.toContain('abababab');
});

it('refuses what is no answer of a KMS', async () => {
  const secret = `{"disk_crypt_key":"${SECRET}`;
  for (const text of [secret, 'null', '[]', '"x"', '<html>']) {
    const refused = await rejection(ask({ GetAppKey: text }));
    expect(refused.code, text).toBe('KMS_ANSWER_INVALID');
    expect(errorChain(refused)).not.toContain('ababab');
    server?.closeAllConnections();
    server?.close();
  }
  expect((await rejection(ask({ GetTempCaCert: '{}' }, 404))).code).toBe('KMS_ANSWER_INVALID');
});

it.each([
  ['no root', { ca_cert: '' }, 'KMS_ANSWER_INVALID'],
  [
    'a root that is no certificate',
    { ca_cert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
    'KMS_ANSWER_INVALID',
  ],
  ['a temporary CA without its key', { temp_ca_key: '' }, 'KEY_INVALID'],
])('refuses a temporary CA with %s', async (_, changed, code) => {
  const refused = await rejection(ask({ GetTempCaCert: JSON.stringify({ ...good.GetTempCaCert, ...changed }) }));
  expect(refused.code).toBe(code);
});

it('refuses a temporary CA whose key is of another one', async () => {
  const other = privateKeyPem((await freshRoots()).tempCa.key);
  const refused = await rejection(
    ask({ GetTempCaCert: JSON.stringify({ ...good.GetTempCaCert, temp_ca_key: other }) }),
  );
  expect(refused.code).toBe('CERT_INVALID');
  expect(errorChain(refused)).toContain('CA certificate does not match private key');
});

it('knows the range of secp256k1 keys', () => {
  const order = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141';
  const scalar = (hex: string) => isK256Scalar(Buffer.from(hex, 'hex'));
  expect([scalar(order), scalar('00'.repeat(32)), scalar('01'.repeat(31))]).toEqual([false, false, false]);
  expect([scalar(`${order.slice(0, -1)}0`), scalar(`${'00'.repeat(31)}01`)]).toEqual([true, true]);
});
