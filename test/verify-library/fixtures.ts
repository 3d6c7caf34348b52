/** Evidence of every kind, whole and spoiled, with what is demanded of it: for each way to have it judged. */
import { existsSync, readFileSync } from 'node:fs';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { mockPki, pemChain } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import { p256FromScalar } from '../../src/keys/derive.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import {
  answerOf as answerOfGuest,
  attestationOf,
  bootEvents,
  bytesOf,
  COLLATERAL,
  COMPOSE_HASH,
  FIRMWARE,
  PKI,
  quoteOf,
  REPORT_DATA,
  runtimeEvent,
} from '../verify/guest.ts';
import {
  answerOf,
  checksumsOf,
  FILES,
  flip,
  fromDocument,
  fromImage,
  measurementOf,
  metadataOf,
  vmConfigOf,
} from '../verify/system-fixture.ts';

const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const AT = '2026-03-01T12:00:00Z';
const APP = toHex(new Uint8Array(20).fill(1));
const PINS = [`app-id=${APP}`, `compose-hash=${toHex(COMPOSE_HASH)}`, `report-data=${toHex(REPORT_DATA)}`];

/** Options in words that the program and the library can both be told. */
export interface Demands {
  readonly expect?: readonly string[];
  readonly prediction?: object;
  /** an expectation file */
  readonly expectations?: object;
  readonly at?: string;
  /** PEM */
  readonly root?: string | undefined;
  readonly collateral?: unknown;
  readonly allowTcb?: readonly string[];
  readonly anyApp?: boolean;
  readonly allowUnencryptedStorage?: boolean;
  readonly eventLog?: object;
  /** files of an image folder by their names */
  readonly image?: Readonly<Record<string, Uint8Array>>;
  readonly measurement?: { readonly document: Uint8Array; readonly checksums: Uint8Array };
  readonly vmConfig?: object;
}

export interface EvidenceFixture {
  readonly name: string;
  readonly evidence: Uint8Array;
  readonly demands: Required<Pick<Demands, 'at' | 'collateral' | 'root'>> & Demands;
  /** whether one would think so at a glance; the comparison itself does not use it */
  readonly good: boolean;
}

function fixture(name: string, evidence: Uint8Array, good: boolean, demands: Demands = {}): EvidenceFixture {
  const usual = { at: AT, root: pemChain(PKI.root), collateral: COLLATERAL, expect: PINS };
  return { name, evidence, good, demands: { ...usual, ...demands } };
}

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

/** An RA-TLS certificate whose quote holds for its key, or for another one. */
async function certificate(bound: boolean): Promise<string> {
  const key = p256FromScalar(new Uint8Array(32).fill(0x21));
  const reportData = bound ? certReportData(key.spkiDer) : REPORT_DATA;
  const attestation = encodeVersioned(strip(attestationOf(bootEvents(2), { reportData })));
  const request = { commonName: 'ra-tls', attestation, appId: new Uint8Array(20).fill(1), notAfter: 1_800_000_000 };
  return issueCertificate(request, key);
}

const QUOTE = quoteOf(bootEvents());
const V0 = encodeVersioned(attestationOf());
const V1 = encodeVersioned(attestationOf(bootEvents(2)));
const ANSWER = answerOfGuest();
const WEAK = mockCollateral(PKI, Date.parse(AT), {
  tcbStatus: 'OutOfDate',
  advisoryIds: ['INTEL-SA-00837'],
});
const logOf = (events: ReturnType<typeof bootEvents>) => fullLogJson([...FIRMWARE, ...events.map(toTdxEvent)]);
const APP_ONLY = [`app-id=${APP}`];

export const IMAGE: Readonly<Record<string, Uint8Array>> = {
  'metadata.json': metadataOf(FILES.cmdline),
  'ovmf.fd': FILES.firmware,
  bzImage: FILES.kernel,
  initrd: FILES.initrd,
  'measurement.tdx.cbor': measurementOf(FILES),
  'sha256sum.txt': checksumsOf(FILES),
};
const BENT = { ...IMAGE, bzImage: flip(FILES.kernel, 8000) };
export const MEASUREMENT = { document: measurementOf(FILES), checksums: checksumsOf(FILES) };
export const VM_CONFIG = { ...vmConfigOf(FILES), tdx_measurement: undefined };
const LITE = answerOf({ measured: fromDocument(FILES), config: vmConfigOf(FILES) });
const FULL = answerOf({ measured: fromImage(FILES), config: VM_CONFIG });
const SILENT = answerOf({ measured: fromImage(FILES), config: '' });
const SYSTEM = `os-image-hash=${vmConfigOf(FILES)['os_image_hash']}`;

const FILE = { version: 1, app: { app_id: APP }, root: { pem: pemChain(PKI.root) } };

/** Where one flipped bit must count: every part of a quote, and the ends of the other forms. */
const FLIPS: readonly (readonly [string, Uint8Array, number])[] = [
  ...[20, 190, 521, 600, 640, 710, 800, 1220, 1500, 2400, 3200, QUOTE.length - 1].map(
    (offset) => [`quote, byte ${offset}`, QUOTE, offset] as const,
  ),
  ['attestation V0, in its log', V0, V0.length - 200],
  ['attestation V1, in its log', V1, V1.length - 200],
  ['attestation V1, its first byte', V1, 0],
];

export async function evidenceFixtures(): Promise<EvidenceFixture[]> {
  const good = (name: string, evidence: Uint8Array, demands: Demands = {}) => fixture(name, evidence, true, demands);
  const bad = (name: string, evidence: Uint8Array, demands: Demands = {}) => fixture(name, evidence, false, demands);
  const plain = [...bootEvents().slice(0, 8), runtimeEvent('storage-unencrypted'), ...bootEvents().slice(8)];
  return [
    good('answer of the agent', bytesOf(ANSWER)),
    good('answer with an attestation', bytesOf({ attestation: toHex(V0) })),
    good('attestation V0', V0),
    good('attestation V1', V1),
    good('attestation V1 without its log', encodeVersioned(strip(attestationOf(bootEvents(2))))),
    good('attestation in hex', text(`${toHex(V1)}\n`)),
    good('quote with an event log beside it', QUOTE, { eventLog: logOf(bootEvents()) }),
    good('certificate', text(await certificate(true)), { expect: APP_ONLY }),
    good('any app', V0, { expect: [], anyApp: true }),
    good('weak platform that is allowed', V0, { collateral: WEAK, allowTcb: ['OutOfDate'] }),
    good('unencrypted storage that is allowed', encodeVersioned(attestationOf(plain)), {
      allowUnencryptedStorage: true,
    }),
    good('prediction', V0, {
      prediction: { events: bootEvents().map(({ event, payload }) => ({ event, payload: toHex(payload) })) },
    }),
    good('system of the hash alone', LITE, { expect: [...PINS, SYSTEM] }),
    good('system of a measurement document', LITE, { measurement: MEASUREMENT }),
    good('system of an image', FULL, { image: IMAGE }),
    good('system of an image, shape beside it', SILENT, { image: IMAGE, vmConfig: VM_CONFIG }),
    bad('system of an image that does not hold together', FULL, { image: BENT }),
    bad('system of an image with other memory', SILENT, {
      image: IMAGE,
      vmConfig: { ...VM_CONFIG, memory_size: 2 * 1024 ** 3 },
    }),
    bad('another system', LITE, { expect: [...PINS, `os-image-hash=${'00'.repeat(32)}`] }),
    good('expectation file', V0, { expectations: FILE, expect: [] }),
    bad('expectation file of another app', V0, {
      expectations: { ...FILE, app: { app_id: '00'.repeat(20) } },
      expect: [],
    }),
    bad('raw quote without its log', QUOTE),
    bad('quote in hex', text(toHex(QUOTE))),
    bad('nobody pinned an app', V0, { expect: [] }),
    bad('another app', V0, { expect: [`app-id=${'00'.repeat(20)}`] }),
    bad('another event', V0, { expect: ['event my-app=00'] }),
    bad('another report data', V0, { expect: [...APP_ONLY, 'report-data=01'] }),
    bad('another prediction', V0, { prediction: { events: [{ event: 'system-preparing', payload: '00' }] } }),
    bad('another root', V0, { root: pemChain(OTHER.root) }),
    bad('Intel’s root', V0, { root: undefined }),
    bad('collateral of another root', V0, { collateral: mockCollateral(OTHER, Date.parse(AT)) }),
    bad('collateral that is none', V0, { collateral: { tcb_info: '' } }),
    bad('collateral of yesterday', V0, { at: '2031-03-01T12:00:00Z' }),
    bad('weak platform', V0, { collateral: WEAK }),
    bad('unencrypted storage', encodeVersioned(attestationOf(plain))),
    bad('log without its first event', encodeVersioned({ ...attestationOf(), runtimeEvents: bootEvents().slice(1) })),
    bad('certificate over another key', text(await certificate(false)), { expect: APP_ONLY }),
    bad('certificate cut short', text((await certificate(true)).slice(0, 600)), { expect: APP_ONLY }),
    bad(
      'answer with another log',
      bytesOf({ ...ANSWER, event_log: answerOfGuest(bootEvents().slice(2))['event_log'] }),
    ),
    bad('nothing', new Uint8Array()),
    bad('text', text('hello')),
    bad('quote cut short', QUOTE.subarray(0, 700)),
    bad('quote of another vendor', quoteOf(bootEvents(), { qeVendorId: new Uint8Array(16).fill(1) })),
    ...FLIPS.map(([name, bytes, offset]) => bad(`one bit: ${name}`, flip(bytes, offset))),
  ];
}

/** A quote of a real machine, which is not part of the project; nothing where its files are not there. */
export function realFixtures(): EvidenceFixture[] {
  const folder = '../shared/data';
  if (!existsSync(`${folder}/tdx_quote.bin`)) return [];
  const evidence = new Uint8Array(readFileSync(`${folder}/tdx_quote.bin`));
  const collateral: unknown = JSON.parse(readFileSync(`${folder}/tdx_quote_collateral.json`, 'utf8'));
  const issued = JSON.parse((collateral as { tcb_info: string }).tcb_info) as { issueDate: string };
  const at = new Date(Date.parse(issued.issueDate) + 86_400_000).toISOString();
  const demands = { at, root: undefined, collateral, expect: [], anyApp: true };
  return [
    fixture('real quote', evidence, true, demands),
    fixture('real quote, one bit', flip(evidence, 200), false, demands),
    fixture('real quote, years later', evidence, false, { ...demands, at: '2040-01-01T00:00:00Z' }),
  ];
}
