/** Good inputs to start from, made by our own simulator and builders; and what the official clients send. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { fromHex } from '../../src/codec/hex.ts';
import { p256FromScalar } from '../../src/keys/derive.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import { type Attestation, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { formatLine } from '../../src/tdx/event-lines.ts';
import { fullLogJson, quoteLogJson } from '../../src/tdx/log-json.ts';
import { toTdxEvent, withPreimage } from '../../src/tdx/tdx-event.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { buildHeader, goodJson } from '../fde/header-builder.ts';
import { buildFirmware, kernelA, kernelB, METADATA, vectors } from '../os-image/sample.ts';
import { logArea, noAction } from '../tdx/ccel-writer.ts';
import { sampleAttestation, sampleQuote } from '../tdx/sample.ts';
import { MORE_SEEDS } from './more-seeds.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A version 5 quote of the given body type from a version 4 one. */
function v5(type: 2 | 3): Uint8Array {
  const quote = sampleQuote();
  const head = Buffer.from(quote.subarray(0, 48));
  head.writeUInt16LE(5, 0);
  const body = Buffer.alloc(6);
  body.writeUInt16LE(type, 0);
  body.writeUInt32LE(type === 2 ? 584 : 648, 2);
  const extra = Buffer.alloc(type === 2 ? 0 : 64);
  return Uint8Array.from(Buffer.concat([head, body, quote.subarray(48, 632), extra, quote.subarray(632)]));
}

const small = (version: 1 | 2): Attestation => strip(sampleAttestation(version));

/** A hundred bytes: most of what a decoder has to decide, at a hundredth of the price. */
const tiny = (version: 1 | 2): Attestation => {
  const { reportData, runtimeEvents } = sampleAttestation(version);
  const events = runtimeEvents.slice(0, 1);
  const eventLog = events.map(toTdxEvent).map(withPreimage);
  return {
    platform: { kind: 'tdx', quote: Uint8Array.of(4), eventLog },
    reportData,
    runtimeEvents: events,
    config: '{}',
  };
};

function otherPlatforms(): Attestation[] {
  const base = tiny(1);
  const tpmQuote = {
    message: Uint8Array.of(1, 2),
    signature: Uint8Array.of(3),
    pcrValues: [{ index: 14, algorithm: 'sha256', value: new Uint8Array(32) }],
    akCert: Uint8Array.of(4),
    platform: 'gcp' as const,
    eventLog: [{ pcrIndex: 0, digest: new Uint8Array(32) }],
  };
  return [
    { ...base, platform: { kind: 'gcp-tdx', quote: Uint8Array.of(4), eventLog: [], tpmQuote } },
    { ...base, platform: { kind: 'nitro-enclave', nsmQuote: Uint8Array.of(1, 2, 3) } },
    { ...base, platform: { kind: 'aws-nitro-tpm', attestationDoc: Uint8Array.of(1, 2, 3) } },
    {
      ...base,
      platform: {
        kind: 'sev-snp',
        report: new Uint8Array(1184),
        certChain: [Uint8Array.of(1)],
        mrConfig: '{"key_provider":"kms"}',
      },
    },
  ];
}

async function certificates(): Promise<Uint8Array[]> {
  const key = p256FromScalar(new Uint8Array(32).fill(9));
  const attestation = sampleAttestation(1);
  const pems = [
    await issueCertificate({ commonName: 'plain' }, key),
    await issueCertificate(
      {
        commonName: 'all',
        organization: 'Dstack',
        altNames: ['a.example', '10.0.0.1', '::1'],
        serverAuth: true,
        clientAuth: true,
        ca: { pathLength: 1 },
        appId: new Uint8Array(20).fill(1),
        usage: 'kms:rpc',
        appInfo: encodeAppInfo(decodeAppInfo(attestation)),
        attestation: encodeVersioned(small(1)),
      },
      key,
    ),
  ];
  const der = (pem: string) => Uint8Array.from(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
  return [...pems.map(text), ...pems.map(der)];
}

const COMPOSE = {
  manifest_version: '3',
  name: 'fuzz',
  runner: 'docker-compose',
  docker_compose_file: 'services: {}',
  key_provider: 'none',
  init_script: ['true'],
  swap_size: '64M',
  storage_fs: 'ext4',
  allowed_envs: ['A'],
  event_log_version: 2,
  port_policy: { ports: [{ port: 80, pp: true }], restrict_mode: true },
  requirements: { platforms: ['dstack-tdx'], os_version: '>=0.5', gpu_policy: { attest_gpu: false } },
  verity_volumes: [{ source: 'v.img', verity_root: 'ab'.repeat(32), target: '/mnt/v' }],
};

/** What clients send: the official SDKs, one request of each language, and the forms that they do not use. */
function httpRequests(): Uint8Array[] {
  const clients = ['python', 'go', 'js', 'rust'].map((language) => {
    const folder = join('test/http/clients', language, 'dstack');
    return readFileSync(join(folder, readdirSync(folder).toSorted()[0] ?? ''));
  });
  return [
    ...clients,
    Buffer.concat(clients),
    text(
      'GET /GetKey?path=a%20b HTTP/1.1\r\nHost: a\r\nAccept: a/b\r\nAccept: c/d\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n',
    ),
    text(
      'POST /GetKey HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nabcde\r\n3\r\nfgh\r\n0\r\nX: y\r\n\r\nHEAD / HTTP/1.1\r\n\r\n',
    ),
    text('\r\nGET http://dstack/Info HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n'),
    text(
      'POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nConnection: close\r\n\r\n',
    ),
  ];
}

export const SEEDS: Readonly<Record<string, () => Promise<Uint8Array[]> | Uint8Array[]>> = {
  ...MORE_SEEDS,
  quote: () => [sampleQuote(), v5(2), v5(3)],
  ccel: () => [
    mockCcel(),
    logArea([noAction(0xffffffff, 'SP800-155 Event3'), noAction(1, 'a'), noAction(0, 'b')], 512),
  ],
  'event-log': () => {
    const attestation = sampleAttestation(2);
    const log = attestation.platform.kind === 'tdx' ? attestation.platform.eventLog : [];
    return [
      text(attestation.runtimeEvents.map(formatLine).join('')),
      text(sampleAttestation(1).runtimeEvents.map(formatLine).join('')),
      text(JSON.stringify(fullLogJson(log, { preimages: true }))),
      text(quoteLogJson(log)),
    ];
  },
  attestation: () => [
    fromHex('00'),
    ...([1, 2] as const).flatMap((version) =>
      [sampleAttestation(version), small(version), tiny(version)].map((a) => encodeVersioned(a)),
    ),
    encodeVersioned({ ...tiny(2), reportDataPayload: '{}' }),
    encodeVersioned(tiny(1), 'V1'),
    ...otherPlatforms().flatMap((a) => (['V0', 'V1'] as const).map((form) => encodeVersioned(a, form))),
  ],
  certificate: certificates,
  'luks-header': () => [
    Uint8Array.from([0, ...buildHeader()]),
    Uint8Array.from([2, ...buildHeader()]),
    text(`\u0001${JSON.stringify(goodJson())}`),
  ],
  tdvf: () => [buildFirmware()],
  kernel: () => [kernelA(), kernelB()].map((kernel) => Uint8Array.from([1, 0, ...kernel])),
  'image-documents': () => [
    text(`\0${JSON.stringify(METADATA)}`),
    text(`\u0001${'ab'.repeat(32)}  metadata.json\n${'cd'.repeat(32)}  measurement.tdx.cbor\n`),
    ...vectors().map(({ measurement_tdx_cbor }) => Uint8Array.from([2, ...fromHex(measurement_tdx_cbor)])),
  ],
  'http-request': httpRequests,
  'app-compose': () => [
    text(JSON.stringify(COMPOSE)),
    text(JSON.stringify({ manifest_version: 2, name: 'n', runner: 'bash', bash_script: 'true', kms_enabled: true })),
  ],
};
