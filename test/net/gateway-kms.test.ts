/** The certificates for gateways from a KMS, and a gateway below the same root that takes them. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { GATEWAY_APP_ID, gatewayCertificate } from '../../simulator/gateway/gateway-certificate.ts';
import { type GatewayFaults, GatewayServer } from '../../simulator/gateway/server.ts';
import { appAuthority } from '../../simulator/kms/derive.ts';
import { freshRoots, type KmsRoots } from '../../simulator/kms/roots.ts';
import type { Kms } from '../../simulator/kms/server.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import type { AppKeys } from '../../src/config/app-keys.ts';
import { DstackError, errorChain } from '../../src/errors.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import type { GatewayCache } from '../../src/net/gateway-cache.ts';
import { certifyForGateway } from '../../src/net/gateway-certificates.ts';
import { callGateway, register } from '../../src/net/gateway-register.ts';
import { requestAppKeys } from '../../src/net/kms-client.ts';
import { wireGuardKeys } from '../../src/net/wireguard.ts';
import { decodeAppInfoExtension } from '../../src/tdx/app-info-extension.ts';
import { OID, readExtension } from '../../src/x509/x509.ts';
import { guest, startKms, VM_CONFIG } from '../simulator/kms/guest.ts';

const APP = { portPolicy: { ports: [], restrictMode: false } };
const app = guest();

let roots: KmsRoots;
let kms: Kms;
let keys: AppKeys;
let server: GatewayServer;
let identity: GatewayCache;
const peers: string[] = [];

beforeAll(async () => {
  roots = await freshRoots();
  kms = await startKms({ roots, attested: false, gatewayAppId: toHex(GATEWAY_APP_ID) });
  const urls = [`https://127.0.0.1:${kms.port}`];
  keys = await requestAppKeys({ urls, vmConfig: VM_CONFIG, attest: app.attest });
  const certificate = await gatewayCertificate(await appAuthority(roots, GATEWAY_APP_ID), ['127.0.0.1']);
  const wireGuard = {
    publicKey: wireGuardKeys().pk,
    options: { interface: 'none', port: 1, address: '10.4.0.1/16' },
    addPeer: (key: string) => void peers.push(key),
    removePeer: () => {},
  };
  const network = { network: '10.4', endpoint: '192.0.2.1:51820', wireGuard };
  server = await GatewayServer.start(
    { ...certificate, clientRoot: roots.ca.certificate, ...network },
    { host: '127.0.0.1', port: 0 },
  );
  const key = freshTlsKey();
  const end = Math.floor(Date.now() / 1000) + 864_000;
  const tell = vi.fn();
  const { plain, withQuote } = await certifyForGateway(keys, { vmConfig: VM_CONFIG }, app.attest, tell)(key, end);
  expect(tell.mock.calls).toEqual([[], []]); // two certificates, two calls that succeeded
  const wg = wireGuardKeys();
  identity = {
    clientCert: plain.join('\n'),
    clientCertWithQuote: withQuote.join('\n'),
    clientKey: privateKeyPem(key),
    certNotAfter: end,
    wgSk: wg.sk,
    wgPk: wg.pk,
  };
});
afterAll(async () => {
  await server.close();
  await kms.close();
});

/** Another gateway, whose guests must have their certificates below this root. */
async function gatewayBelow(clientRoot: string, faults: GatewayFaults = {}): Promise<GatewayServer> {
  const identity = await gatewayCertificate(await appAuthority(roots, GATEWAY_APP_ID), ['127.0.0.1']);
  const end = { interface: 'none', port: 1, address: '10.5.0.1/16' };
  const wireGuard = { publicKey: wireGuardKeys().pk, options: end, addPeer() {}, removePeer() {} };
  const network = { network: '10.5', endpoint: '192.0.2.1:1', wireGuard };
  return GatewayServer.start({ ...identity, clientRoot, ...network }, { host: '127.0.0.1', port: 0 }, faults);
}

const join = (options: { caCert?: string; allowed?: string } = {}) =>
  register(
    [`https://127.0.0.1:${server.port}`],
    identity,
    APP,
    callGateway(options.caCert ?? keys.caCert, options.allowed ?? keys.gatewayAppId),
    [],
  );

describe('certificates for gateways, signed by a KMS', () => {
  it('say which app this is; one of them with the quote', async () => {
    const [plain = '', quoted = ''] = [identity.clientCert, identity.clientCertWithQuote].map(
      (chain) => chain.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? '',
    );
    for (const leaf of [plain, quoted]) {
      const info = readExtension(leaf, OID.appInfo);
      expect(toHex(decodeAppInfoExtension(info ?? new Uint8Array()).appId)).toBe(app.appId);
    }
    expect(readExtension(plain, OID.attestation)).toBeUndefined();
    expect(readExtension(quoted, OID.attestation)).toBeDefined();
  });

  it('are taken by a gateway below the same root', async () => {
    expect(await join()).toMatchObject({ clientIp: '10.4.0.10' });
    expect(peers).toEqual([identity.wgPk]);
    expect(server.peers.all).toMatchObject([{ appId: app.appId, instanceId: toHex(app.instanceId) }]);
  });

  it('are shown to nobody but the gateway the KMS allows', async () => {
    await expect(join({ allowed: '00'.repeat(20) })).rejects.toMatchObject({ cause: { code: 'CERT_APP_MISMATCH' } });
    await expect(join({ caCert: (await freshRoots()).ca.certificate })).rejects.toMatchObject({
      cause: { code: 'CERT_UNTRUSTED' },
    });
    expect(await join({ caCert: 'not looked at', allowed: 'any' })).toMatchObject({ clientIp: '10.4.0.10' });
  });

  it('are shown only to a gateway that proves its platform, where that is pinned', async () => {
    const pinned = (allowedApp: string) =>
      register(
        [`https://127.0.0.1:${server.port}`],
        identity,
        APP,
        callGateway(keys.caCert, allowedApp, {}, async () => ({ allowed: ['UpToDate'] })),
        [],
      );
    // this one's certificate has no evidence
    await expect(pinned(keys.gatewayAppId)).rejects.toMatchObject({ cause: { code: 'EVIDENCE_INVALID' } });
    await expect(pinned('any')).rejects.toMatchObject({ cause: { code: 'GATEWAY_MISCONFIGURED' } });
  });

  it('are refused by a gateway of another root, with its words', async () => {
    const other = await freshRoots();
    const strict = await gatewayBelow(other.ca.certificate);
    const call = callGateway(keys.caCert, keys.gatewayAppId);
    await expect(register([`https://127.0.0.1:${strict.port}`], identity, APP, call, [])).rejects.toMatchObject({
      cause: { code: 'GATEWAY_FAILED' },
    });
    await strict.close();
  });

  it.each([
    ['slow', { delay: 3000 }, /did not answer within/],
    ['closing every connection', { down: true }, /cannot be reached/],
    ['dying in the middle of its answer', { dieMidAnswer: true }, /middle of the answer/],
    ['answering garbage', { garbage: true }, /client_ip must be an IPv4 address/],
  ])('lead on to the next gateway beside one that is %s', async (_, faults, reason) => {
    const call = callGateway(keys.caCert, keys.gatewayAppId, { timeoutMs: 1000 });
    const bad = await gatewayBelow(roots.ca.certificate, faults);
    const urls = [bad, server].map(({ port }) => `https://127.0.0.1:${port}`);
    expect(await register(urls, identity, APP, call, [])).toMatchObject({ url: urls[1] });
    const alone = await register(urls.slice(0, 1), identity, APP, call, []).catch((thrown: unknown) => thrown);
    expect(errorChain(alone)).toMatch(reason);
    await bad.close();
  });

  it('are not made for an app the KMS refuses', async () => {
    const nobody = await startKms({ roots, attested: false, policy: { apps: new Set(), composeHashes: new Set() } });
    const url = `https://127.0.0.1:${nobody.port}/prpc`;
    const elsewhere = { ...keys, keyProvider: { ...keys.keyProvider, url } } as AppKeys;
    const tell = vi.fn();
    const certify = certifyForGateway(elsewhere, { vmConfig: VM_CONFIG }, app.attest, tell);
    await expect(certify(freshTlsKey(), 2_000_000_000)).rejects.toMatchObject({ code: 'KMS_REFUSED' });
    expect(tell.mock.calls).toEqual([[expect.objectContaining({ code: 'KMS_REFUSED' })]]);
    // no evidence, no call: that says nothing about the KMS
    const noQuote = () => Promise.reject(new DstackError('QUOTE_BUSY', 'busy'));
    const blind = certifyForGateway(elsewhere, { vmConfig: VM_CONFIG }, noQuote, tell);
    await expect(blind(freshTlsKey(), 2_000_000_000)).rejects.toMatchObject({ code: 'QUOTE_BUSY' });
    expect(tell).toHaveBeenCalledTimes(1);
    await nobody.close();
  });

  it('has the app id of the development gateway in 20 bytes', () => {
    expect(fromHex(toHex(GATEWAY_APP_ID))).toHaveLength(20);
  });
});
