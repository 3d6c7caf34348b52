/** Evidence that the page and the program judge: valid and spoiled, all of the simulator. */
import { pemChain } from '../../simulator/pki.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import {
  attestationOf,
  bootEvents,
  bytesOf,
  COLLATERAL,
  PKI,
  answerOf as paperAnswer,
  quoteOf,
  runtimeEvent,
} from '../verify/guest.ts';
import {
  answerOf,
  checksumsOf,
  FILES,
  flip,
  fromDocument,
  measurementOf,
  OTHER_KERNEL,
  vmConfigOf,
} from '../verify/system-fixture.ts';
import type { FileSet } from './scene.ts';

export const AT = '2026-03-01T12:00:00Z';
export const HOSTILE = '<img src=x onerror="alert(1)">';
const RIGHT_TO_LEFT = '\u202e';

const APP_ID = '01'.repeat(20);
const COMPOSE_HASH = '02'.repeat(32);

const lite = { measured: fromDocument(FILES), config: vmConfigOf(FILES) };

/** Root and collateral of the simulator. */
export const TRUST: FileSet = { 'root.pem': pemChain(PKI.root), 'collateral.json': JSON.stringify(COLLATERAL) };

export const EXPECTED_APP = {
  version: 1,
  app: { app_id: APP_ID, compose_hash: COMPOSE_HASH },
  root: { pem: pemChain(PKI.root) },
};

export interface Case {
  readonly name: string;
  readonly evidence: FileSet;
  readonly expect?: object;
  /** measurement.tdx.cbor and sha256sum.txt of the image */
  readonly image?: boolean;
  readonly verdict: 'valid' | 'invalid' | 'unchecked';
}

const hostileEvents = () => [...bootEvents(), runtimeEvent(HOSTILE, `<script>alert(2)</script>${RIGHT_TO_LEFT}`)];
const otherApp = () =>
  bootEvents().map((event) =>
    event.event === 'compose-hash' ? { ...event, payload: new Uint8Array(32).fill(9) } : event,
  );
const unknownEvent = () => [...bootEvents().slice(0, 4), runtimeEvent('<b>extra</b>'), ...bootEvents().slice(4)];

export const CASES: readonly Case[] = [
  {
    name: 'a guest of the app and image',
    evidence: { 'a.json': answerOf(lite) },
    image: true,
    expect: EXPECTED_APP,
    verdict: 'valid',
  },
  {
    name: 'an attestation',
    evidence: { 'v0.bin': encodeVersioned(attestationOf()) },
    expect: EXPECTED_APP,
    verdict: 'valid',
  },
  { name: 'a bare quote', evidence: { 'quote.bin': quoteOf(bootEvents()) }, verdict: 'unchecked' },
  {
    name: 'hostile names',
    evidence: { 'h.json': bytesOf(paperAnswer(hostileEvents())) },
    expect: EXPECTED_APP,
    verdict: 'valid',
  },
  {
    name: 'another app',
    evidence: { 'o.json': bytesOf(paperAnswer(otherApp())) },
    expect: EXPECTED_APP,
    verdict: 'invalid',
  },
  {
    name: 'an event that no boot measures',
    evidence: { 'u.json': bytesOf(paperAnswer(unknownEvent())) },
    expect: EXPECTED_APP,
    verdict: 'invalid',
  },
  {
    name: 'another kernel',
    evidence: {
      'k.json': answerOf({ ...lite, measured: fromDocument({ ...FILES, kernel: OTHER_KERNEL }) }),
    },
    image: true,
    expect: EXPECTED_APP,
    verdict: 'invalid',
  },
  { name: 'a flipped bit in the quote', evidence: { 'f.bin': flip(quoteOf(bootEvents()), 300) }, verdict: 'invalid' },
];

/** All files of a case, and the options of the program that say the same. */
export function filesOf({ evidence, expect, image }: Case): { files: FileSet; args: string[] } {
  const [name = ''] = Object.keys(evidence);
  return {
    files: {
      ...TRUST,
      ...evidence,
      ...(expect === undefined ? {} : { 'expect.json': JSON.stringify(expect) }),
      ...(image ? { 'measurement.tdx.cbor': measurementOf(FILES), 'sha256sum.txt': checksumsOf(FILES) } : {}),
    },
    args: [
      ...[name, '--root-ca', 'root.pem', '--collateral', 'collateral.json', '--at', AT],
      ...(expect === undefined ? [] : ['--expect-file', 'expect.json']),
      ...(image ? ['--image-measurement', 'measurement.tdx.cbor'] : []),
    ],
  };
}
