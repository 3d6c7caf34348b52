/**
 * What the answer to a recorded request means, checked with other means than those that made it: node:crypto and noble for
 * keys and signatures, offsets of the quote format for quotes. One table for every kind of listener.
 */
import { createHash, createPrivateKey, createPublicKey, hkdfSync, verify, X509Certificate } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519';
import { secp256k1 } from '@noble/curves/secp256k1';
import { keccak_256 } from '@noble/hashes/sha3';
import { expect } from 'vitest';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { decodeVersioned } from '../../src/tdx/attestation.ts';
import { parseLogJson } from '../../src/tdx/log-json.ts';
import { replay } from '../../src/tdx/replay.ts';
import { parseAnswer } from '../agent/raw-client.ts';
import type { Recorded } from './recorded.ts';

/** What is known of the guest that answers. */
export interface Facts {
  /** contents of its key file */
  readonly keys: Uint8Array;
  readonly composeText: string;
  /** hex */
  readonly appId: string;
  readonly instanceId: string;
  /** of the package that its agent was built from */
  readonly version: string;
  /** `vm_config` of its sys-config.json, as it stands there */
  readonly vmConfig: string;
}

/** A JSON answer, read without a schema. */
// biome-ignore lint/suspicious/noExplicitAny: the tests below say what it must be
type Answer = any;
type Request = Recorded['request'];

const hex = (text: string): Buffer => {
  expect(text).toMatch(/^(?:[0-9a-f]{2})*$/);
  return Buffer.from(text, 'hex');
};
const sha = (name: string, ...parts: (string | Uint8Array)[]) => {
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const textOf = (value: unknown): string => (value === undefined ? '' : String(value));

/** The first link is the app's over this public key for this purpose, the second the KMS's over the app. */
function chained(links: string[], purpose: string, publicKey: Uint8Array, { keys }: Facts): void {
  const app = parseAppKeys(Buffer.from(keys), 'appkeys.json');
  const [link = '', kms] = links;
  expect(link).toMatch(/^[0-9a-f]{130}$/);
  const claim = keccak_256(Buffer.from(`${purpose}:${Buffer.from(publicKey).toString('hex')}`));
  const signer = secp256k1.Signature.fromCompact(link.slice(0, 128))
    .addRecoveryBit(Number.parseInt(link.slice(128), 16))
    .recoverPublicKey(claim);
  expect(signer.toHex(true)).toBe(Buffer.from(secp256k1.getPublicKey(app.k256Key, true)).toString('hex'));
  expect(kms).toBe(Buffer.from(app.k256Signature).toString('hex'));
}

/** Offsets of a quote of version 4: header 48, RTMR3 and report data in the body. */
function quoted(quote: string, eventLog: string, reportData: Buffer): void {
  const bytes = hex(quote);
  expect([bytes.readUInt16LE(0), bytes.readUInt32LE(4)]).toEqual([4, 0x81]);
  expect(bytes.subarray(568, 632).toString('hex')).toBe(reportData.toString('hex'));
  const rtmr3 = Buffer.from(replay(parseLogJson(eventLog), 3)).toString('hex');
  expect(bytes.subarray(520, 568).toString('hex')).toBe(rtmr3);
}

const padded = (data: unknown): Buffer => Buffer.concat([hex(textOf(data)), Buffer.alloc(64)]).subarray(0, 64);

/** A key with a chain of two certificates that fits the request. */
function certified({ key, certificate_chain: chain }: Answer, request: Request): void {
  const [leaf, issuer] = chain.map((pem: string) => new X509Certificate(pem)) as [X509Certificate, X509Certificate];
  expect(chain).toHaveLength(2);
  expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect([leaf.checkIssued(issuer), leaf.verify(issuer.publicKey), issuer.verify(issuer.publicKey)]).toEqual([
    true,
    true,
    true,
  ]);
  if (request['subject']) expect(leaf.subject).toBe(`CN=${request['subject']}`);
  const names = (request['alt_names'] as string[] | undefined) ?? [];
  expect(leaf.subjectAltName).toBe(names.length === 0 ? undefined : names.map((name) => `DNS:${name}`).join(', '));
  const usages = [
    ...(request['usage_server_auth'] ? ['1.3.6.1.5.5.7.3.1'] : []),
    ...(request['usage_client_auth'] ? ['1.3.6.1.5.5.7.3.2'] : []),
  ];
  expect(leaf.keyUsage ?? []).toEqual(usages);
  // 1.3.6.1.4.1.62397.1.8: the attestation of RA-TLS
  expect(leaf.raw.includes(Buffer.from('060a2b0601040183e73d0108', 'hex'))).toBe(request['usage_ra_tls'] === true);
}

function identified(info: Answer, facts: Facts): void {
  const compose = JSON.parse(facts.composeText) as { name: string };
  expect(info).toMatchObject({
    app_id: facts.appId,
    instance_id: facts.instanceId,
    app_name: compose.name,
    compose_hash: sha('sha256', facts.composeText).toString('hex'),
    key_provider_info: expect.stringContaining('"name":"none"'),
  });
  const tcb = JSON.parse(info.tcb_info);
  expect(tcb).toMatchObject({ app_compose: facts.composeText, compose_hash: info.compose_hash });
  expect(Buffer.from(replay(parseLogJson(JSON.stringify(tcb.event_log)), 3)).toString('hex')).toBe(tcb.rtmr3);
  expect(new X509Certificate(info.app_cert).raw.length).toBeGreaterThan(200);
}

const edKey = (raw: string) =>
  createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), hex(raw)]),
    format: 'der',
    type: 'spki',
  });

const ANSWERED: Readonly<Record<string, (answer: Answer, request: Request, facts: Facts) => void>> = {
  GetKey(answer, request, facts) {
    expect(Object.keys(answer)).toEqual(['key', 'signature_chain']);
    const { k256Key } = parseAppKeys(Buffer.from(facts.keys), 'appkeys.json');
    // deriveKey of the specification: HKDF-SHA256 with the path as info
    const derived = Buffer.from(hkdfSync('sha256', k256Key, 'RATLS', textOf(request['path']), 32));
    expect(answer.key).toBe(derived.toString('hex'));
    const edwards = request['algorithm'] === 'ed25519';
    const publicKey = edwards ? ed25519.getPublicKey(derived) : secp256k1.getPublicKey(derived, true);
    chained(answer.signature_chain, textOf(request['purpose']), publicKey, facts);
  },
  GetQuote(answer, request, facts) {
    // a guest with a TEE leaves the attestation out of this answer, canned evidence has it
    const { attestation, ...others } = answer;
    expect(Object.keys(others)).toEqual(['quote', 'event_log', 'report_data', 'vm_config']);
    quoted(answer.quote, answer.event_log, padded(request['report_data']));
    expect(answer.report_data).toBe(padded(request['report_data']).toString('hex'));
    expect(answer.vm_config).toBe(facts.vmConfig);
    if (attestation === undefined) return;
    const { reportData } = decodeVersioned(hex(attestation)).attestation;
    expect(Buffer.from(reportData)).toEqual(padded(request['report_data']));
  },
  Attest(answer, request, facts) {
    expect(Object.keys(answer)).toEqual(['attestation']);
    const { attestation } = decodeVersioned(hex(answer.attestation));
    expect(Buffer.from(attestation.reportData)).toEqual(padded(request['report_data']));
    const named = attestation.runtimeEvents.find(({ event }) => event === 'app-id');
    expect(Buffer.from(named?.payload ?? []).toString('hex')).toBe(facts.appId);
  },
  GetTlsKey(answer, request) {
    expect(Object.keys(answer)).toEqual(['key', 'certificate_chain']);
    certified(answer, request);
  },
  Sign(answer, request, facts) {
    expect(Object.keys(answer)).toEqual(['signature', 'signature_chain', 'public_key']);
    const { signature, signature_chain: chain, public_key } = answer;
    expect(verify(null, hex(textOf(request['data'])), edKey(public_key), hex(signature))).toBe(true);
    expect(chain[0]).toBe(signature);
    chained(chain.slice(1), 'signing', hex(public_key), facts);
  },
  Verify(answer, request) {
    const [data, signature] = [hex(textOf(request['data'])), hex(textOf(request['signature']))];
    expect(answer).toEqual({ valid: verify(null, data, edKey(textOf(request['public_key'])), signature) });
  },
  Info: (answer, _, facts) => identified(answer, facts),
  Version: (answer, _, { version }) => expect(answer).toEqual({ version, rev: expect.any(String) }),
  'Tappd.DeriveKey'(answer, request) {
    expect(Object.keys(answer)).toEqual(['key', 'certificate_chain']);
    certified(answer, request);
  },
  'Tappd.TdxQuote'(answer, request) {
    const { hash_algorithm: algorithm = 'sha512', report_data: data } = request;
    const prefix = algorithm === 'raw' ? '' : 'app-data';
    expect(Object.keys(answer)).toEqual(['quote', 'event_log', 'hash_algorithm', 'prefix']);
    expect(answer).toMatchObject({ hash_algorithm: algorithm, prefix });
    const content = hex(textOf(data));
    quoted(answer.quote, answer.event_log, algorithm === 'raw' ? content : sha('sha512', `${prefix}:`, content));
  },
  'Tappd.Info': (answer, _, facts) => identified(answer, facts),
};

/** The methods of the table. */
export const METHODS: readonly string[] = Object.keys(ANSWERED);

/** One whole answer as it came over the wire, to this request. */
export function judge(recorded: Pick<Recorded, 'method' | 'request'>, raw: Buffer, facts: Facts): void {
  const { status, headers, body } = parseAnswer(raw.toString('latin1'));
  expect([status, status === 200 ? '' : body]).toEqual([200, '']);
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'content-length': String(body.length) });
  expect(body).toMatch(/^[\x20-\x7e\n]*$/); // JSON in ASCII
  const meaning = ANSWERED[recorded.method];
  if (meaning === undefined) throw new Error(`nobody knows what an answer of ${recorded.method} means`);
  meaning(JSON.parse(body), recorded.request, facts);
}

/** The recorded Verify with what Sign has just answered, and with other data: do the two agree? */
export function verifications(sign: Recorded, signed: Buffer): { body: string; valid: boolean }[] {
  const { signature, public_key } = JSON.parse(parseAnswer(signed.toString('latin1')).body);
  const data = textOf(sign.request['data']);
  return [data, `${data}00`].map((changed, index) => ({
    body: JSON.stringify({ algorithm: sign.request['algorithm'], data: changed, signature, public_key }),
    valid: index === 0,
  }));
}
