/**
 * A host with a sealing key provider: an SGX enclave on paper that seals for the key in the guest's quote and vouches for
 * what it sealed, and the collateral of its platform. The root of that platform is the simulator's, not Intel's.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa';
import { blake2b } from '@noble/hashes/blake2b';
import { mockCollateral, QE_IDENTITY } from '../../simulator/mock-collateral.ts';
import { freshKey, signRaw } from '../../simulator/mock-keys.ts';
import { pckChain } from '../../simulator/pki.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { canonicalJson } from '../../src/codec/jcs.ts';
import { x25519PublicKey, x25519Shared } from '../../src/codec/x25519.ts';
import { pki } from '../simulator/kms/guest.ts';

const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
const u32 = (bytes: Uint8Array) => new Uint32Array(Uint8Array.from(bytes).buffer);
const le = (size: 2 | 4, value: number) => {
  const out = Buffer.alloc(size);
  out.writeUIntLE(value, 0, size);
  return out;
};

/** crypto_box_seal of libsodium. */
export function seal(plaintext: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const ephemeral = randomBytes(32);
  const epk = x25519PublicKey(ephemeral);
  const key = new Uint32Array(8);
  const shared = x25519Shared(ephemeral, publicKey);
  if (shared === undefined) throw new Error('a public key of small order');
  hsalsa(u32(Buffer.from('expand 32-byte k')), u32(shared), new Uint32Array(4), key);
  const nonce = blake2b(Buffer.concat([epk, publicKey]), { dkLen: 24 });
  return Buffer.concat([epk, xsalsa20poly1305(new Uint8Array(key.buffer), nonce).encrypt(plaintext)]);
}

/** A quote of version 3 of an enclave with this MRENCLAVE. */
export function sgxQuote(mrEnclave: Uint8Array, reportData: Uint8Array, debug = false): Uint8Array {
  const header = Buffer.concat([
    le(2, 3),
    le(2, 2),
    le(4, 0), // SGX
    le(2, 1),
    le(2, 0),
    fromHex('939a7233f79c4ca9940a0db3957f0607'),
    Buffer.alloc(20),
  ]);
  const body = Buffer.alloc(384);
  body[48] = debug ? 2 : 0; // attributes
  body.set(mrEnclave, 64);
  body.set(reportData, 320);
  const signedPart = Buffer.concat([header, body]);
  const key = freshKey();
  const attestationKey = Buffer.from(key.point.subarray(1));
  const signature = signRaw(key, signedPart);
  const authData = Buffer.alloc(32);
  const report = Buffer.alloc(384);
  report.fill(QE_IDENTITY.mrSigner, 128, 160);
  report.writeUInt16LE(QE_IDENTITY.isvProdId, 256);
  report.writeUInt16LE(QE_IDENTITY.isvSvn, 258);
  report.set(sha256(attestationKey, authData), 320);
  const chain = Buffer.from(pckChain(pki));
  const auth = [signature, attestationKey, report, signRaw(pki.keys.pck, report), le(2, 32), authData];
  const all = Buffer.concat([...auth, le(2, 5), le(4, chain.length), chain]);
  return Buffer.concat([signedPart, le(4, all.length), all]);
}

/** The collateral of the simulated platform, as that of an SGX machine. */
function sgxCollateral() {
  const collateral = mockCollateral(pki);
  const tcb = JSON.parse(collateral.tcb_info);
  const { sgxtcbcomponents, pcesvn } = tcb.tcbLevels[0].tcb;
  const { tdxModule: _, ...rest } = tcb;
  const tcbLevels = [{ ...tcb.tcbLevels[0], tcb: { sgxtcbcomponents, pcesvn } }];
  const tcbInfo = canonicalJson({ ...rest, id: 'SGX', tcbLevels });
  const identity = canonicalJson({ ...JSON.parse(collateral.qe_identity), id: 'QE' });
  return { ...collateral, tcbInfo, identity };
}

export interface SgxHost {
  readonly hostApiUrl: string;
  readonly pccsUrl: string;
  close(): Promise<void>;
}

/** What the provider answers for the key in the guest's quote. */
export type Provider = (guestKey: Uint8Array) => { encrypted_key: Uint8Array; provider_quote: Uint8Array };

const listen = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });

export async function startSgxHost(provider: Provider): Promise<SgxHost> {
  const api = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
    });
    request.on('end', () => {
      const quote = fromHex(JSON.parse(text).quote);
      const answer = Object.entries(provider(quote.subarray(568, 600))).map(([name, bytes]) => [name, toHex(bytes)]);
      response.end(JSON.stringify(Object.fromEntries(answer)));
    });
  });
  const pccs = createServer((request, response) => {
    const { tcbInfo, identity, ...rest } = sgxCollateral();
    const chain = (name: string, text: string) => response.setHeader(name, encodeURIComponent(text));
    const signed = (member: string, text: string, key: typeof pki.keys.tcb) =>
      response.end(`{"${member}":${text},"signature":"${toHex(signRaw(key, Buffer.from(text)))}"}`);
    switch ((request.url ?? '').replace(/\?.*/, '').replace('/sgx/certification/v4/', '')) {
      case 'pckcrl':
        chain('SGX-PCK-CRL-Issuer-Chain', rest.pck_crl_issuer_chain);
        return response.end(pki.pckCrl);
      case 'rootcacrl':
        return response.end(rest.root_ca_crl);
      case 'tcb':
        chain('SGX-TCB-Info-Issuer-Chain', rest.tcb_info_issuer_chain);
        return signed('tcbInfo', tcbInfo, pki.keys.tcb);
      case 'qe/identity':
        chain('SGX-Enclave-Identity-Issuer-Chain', rest.qe_identity_issuer_chain);
        return signed('enclaveIdentity', identity, pki.keys.qe);
      default:
        return response.writeHead(404).end();
    }
  });
  const [apiPort, pccsPort] = [await listen(api), await listen(pccs)];
  return {
    hostApiUrl: `http://127.0.0.1:${apiPort}/api`,
    pccsUrl: `http://127.0.0.1:${pccsPort}`,
    close: async () => {
      for (const server of [api, pccs]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}
