/** Good inputs of the targets with several small readers, one group for each reader of the target. */
import { type CborValue, encodeCbor } from '../../src/codec/cbor.ts';
import { encodeMsgpack } from '../../src/codec/msgpack-write.ts';
import { defaultsOf } from '../../src/codec/prpc-messages.ts';
import { encodeProtobuf } from '../../src/codec/prpc-protobuf.ts';
import { newGpt } from '../../src/fde/gpt.ts';
import { encodeMark } from '../../src/fde/marks.ts';
import { encodeRestarts } from '../../src/fde/restarts.ts';
import { encodeCsr } from '../../src/keys/csr.ts';
import { encodeVersioned, strip, tdxEventLog } from '../../src/tdx/attestation.ts';
import { quoteLogJson } from '../../src/tdx/log-json.ts';
import { sampleAttestation, sampleQuote } from '../tdx/sample.ts';
import { forReader } from './select.ts';
import { NONCE } from './targets/gpu-evidence.ts';
import { NAMES } from './targets/rpc-json.ts';

const json = (value: unknown): string => JSON.stringify(value);
const KEY = `${'B'.repeat(42)}A=`;
const CONTENT = { commonName: 'a', altNames: ['b.example'], serverAuth: true, clientAuth: false, withQuote: true };

function rpcJson(): Uint8Array[] {
  const number = (name: (typeof NAMES)[number]) => NAMES.indexOf(name);
  const request = (name: (typeof NAMES)[number], text: string, query = 0) =>
    Uint8Array.from([number(name), query, ...Buffer.from(text)]);
  return [
    request('GetTlsKeyArgs', json({ subject: 'a', alt_names: ['b'], usage_ra_tls: true, not_after: 5 })),
    request('GetKeyArgs', 'path=a%20b&purpose=c&algorithm=ed25519', 1),
    request('GetTlsKeyArgs', 'alt_names[1]=b&alt_names[0]=a&usage_ra_tls=true&not_before=7', 1),
    request('RawQuoteArgs', json({ report_data: '0xabcd' })),
    request('VerifyRequest', json({ algorithm: 'ed25519', data: '00', signature: 'ff', public_key: '' })),
    request('Empty', ''),
  ];
}

function rpcProtobuf(): Uint8Array[] {
  const message = (name: (typeof NAMES)[number], more: object) =>
    Uint8Array.from([NAMES.indexOf(name), ...encodeProtobuf(name, { ...defaultsOf(name), ...more } as never)]);
  return [
    message('GetTlsKeyArgs', { subject: 'a', alt_names: ['b', 'c'], usage_ra_tls: true, not_after: 5 }),
    message('RawQuoteArgs', { report_data: Uint8Array.of(1, 2) }),
    message('SignResponse', { signature: Uint8Array.of(1), signature_chain: [Uint8Array.of(2), Uint8Array.of(3)] }),
    Uint8Array.from([NAMES.indexOf('GetKeyArgs'), 0x0b, 0x13, 0x14, 0x0c, 0x0a, 1, 97]),
  ];
}

/** A disk of 8 MiB with one partition, from its second block on. */
function gpt(block: number): Uint8Array {
  const disk = Buffer.alloc(8 * 1024 * 1024);
  for (const { at, bytes } of newGpt(disk.length, block, 'dstack-data').flat()) disk.set(bytes, at);
  return Uint8Array.from([block === 4096 ? 3 : 2, ...disk.subarray(block, 40 * 512)]);
}

const envelope = (): Uint8Array => {
  const bytes = Buffer.alloc(4096);
  bytes.write('DSTACK_VOLUME\0\0\0', 'latin1');
  bytes.writeUInt32LE(1, 16);
  bytes.fill(0xab, 20, 52);
  return bytes;
};

/** Magic, metadata_csum and CRC32C in a superblock and its first copy; the first has another mount count and so is torn. */
function superblocks(): Uint8Array {
  const block = Buffer.alloc(1024);
  block.writeUInt32LE(16, 4);
  block.writeUInt32LE(1, 0x14);
  block.writeUInt32LE(8, 0x20);
  block.writeUInt16LE(0xef53, 0x38);
  block.writeUInt32LE(0x400, 0x64);
  block.writeUInt8(1, 0x175);
  const copy = Buffer.from(block);
  copy.writeUInt16LE(1, 0x5a);
  return Buffer.concat([block, copy]);
}

const SYS = {
  kms_urls: ['https://kms.example'],
  gateway_urls: [],
  pccs_url: '',
  docker_registry: '',
  host_api_url: 'vsock://2:1000/api',
  vm_config: json({ os_image_hash: 'ab'.repeat(32), cpu_count: 2, memory_size: 2 ** 31 }),
};
const PHASE = {
  sequence: 'setup',
  phase: 'open the disk',
  start: '2026-01-02T00:00:00.000Z',
  durationMs: 5,
  cpuMs: 1,
  events: [{ name: 'a', digest: 'ab' }],
  outcome: 'done',
};
const KEYS = {
  disk_crypt_key: 'ab'.repeat(32),
  env_crypt_key: 'cd'.repeat(32),
  k256_key: 'ef'.repeat(32),
  k256_signature: '01'.repeat(65),
  gateway_app_id: 'any',
  ca_cert: '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
  key_provider: { Kms: { url: 'https://kms', pubkey: '00', tmp_ca_key: '', tmp_ca_cert: '' } },
};
const CACHE = {
  client_cert: 'a',
  client_cert_with_quote: 'b',
  client_key: 'c',
  cert_not_after: 5,
  wg_sk: KEY,
  wg_pk: KEY,
};
const CLAIM = {
  'x-nvidia-device-type': 'gpu',
  eat_nonce: NONCE,
  'x-nvidia-gpu-attestation-report-nonce-match': true,
  measres: 'success',
  secboot: true,
  dbgstat: 'disabled',
};

/** GET_QUOTE_RESP of protocol version 1: header of 16 bytes, sizes, then the quote. */
function quoteAnswer(): Uint8Array {
  const quote = sampleQuote();
  const bytes = Buffer.alloc(24 + quote.length);
  bytes.writeUInt16LE(1, 0);
  bytes.writeUInt32LE(1, 4);
  bytes.writeUInt32LE(bytes.length, 8);
  bytes.writeUInt32LE(quote.length, 20);
  bytes.set(quote, 24);
  return bytes;
}

const frame = (channel: number, text: string): Uint8Array =>
  Uint8Array.from([channel, 0, 0, 0, 0, 0, 0, text.length, ...Buffer.from(text)]);

export const MORE_SEEDS: Readonly<Record<string, () => Uint8Array[]>> = {
  'rpc-json': rpcJson,
  'rpc-protobuf': rpcProtobuf,
  msgpack: () => [encodeMsgpack({ a: [1, -1, 'text', null, true, Uint8Array.of(1)], b: { c: 2 ** 40 } })],
  cbor: () => [
    encodeCbor(new Map()),
    encodeCbor(
      new Map<string, CborValue>([
        ['a', 1],
        ['b', 'text'],
        ['c', Uint8Array.of(1, 2)],
        ['d', new Map([['e', 2 ** 33]])],
      ]),
    ),
  ],
  'certificate-request': () => [
    ...forReader(
      0,
      encodeCsr({
        ...CONTENT,
        spkiDer: Uint8Array.of(1, 2),
        organization: 'Dstack',
        withAppInfo: true,
        notBefore: 1,
        notAfter: undefined,
        attestation: Uint8Array.of(3),
      }),
    ),
  ],
  gpt: () => [gpt(512), gpt(4096)],
  'disk-records': () => [
    ...forReader(0, encodeMark({ initialising: true, ephemeral: false, uuid: '12345678-1234-1234-1234-123456789abc' })),
    ...forReader(1, 'dstack restarts 1\ncount 7\n'),
    ...forReader(2, encodeRestarts(3)),
    ...forReader(3, envelope()),
    ...forReader(4, superblocks()),
  ],
  'host-documents': () => [
    ...forReader(0, json(SYS)),
    ...forReader(1, json({ instance_id_seed: 'ab'.repeat(20), instance_id: 'cd'.repeat(20), app_id: 'ef'.repeat(20) })),
    ...forReader(2, json(KEYS)),
    ...forReader(3, json({ public_key: 'ab'.repeat(32), signature_v1: 'cd'.repeat(65), timestamp: 7 })),
    ...forReader(4, json(CACHE)),
    ...forReader(5, `${json(PHASE)}\n${json({ ...PHASE, outcome: 'failed', error: 'x', notes: ['y'] })}\n`),
    ...forReader(6, 'quiet console="ttyS0 a" dstack.nts=a.example,b.example:4461'),
    ...forReader(7, json({ a: [1, 2.5, 'ü', null, { b: true }] })),
  ],
  environment: () => [
    ...forReader(
      0,
      json({
        env: [
          { key: 'A', value: 'a"b$c`d' },
          { key: '__proto__', value: '' },
        ],
      }),
    ),
    ...forReader(1, 'A=1\n# x\nB_1="q"\r\n\nPATH=a=b', json({ env: [{ key: 'A', value: '1' }] })),
    ...forReader(2, 'A=1\0B=2\nc\0=x\0PWD=/\0'),
  ],
  'peer-answers': () => [
    ...forReader(
      0,
      json({ wg: { client_ip: '10.4.0.7', servers: [{ pk: KEY, ip: '10.4.0.1/24', endpoint: 'gw.example:9182' }] } }),
    ),
    ...forReader(1, json({ ...KEYS, tproxy_app_id: '', os_image_hash: 'ab' })),
    ...forReader(2, json({ temp_ca_cert: 'a', temp_ca_key: 'b', ca_cert: 'c' })),
    ...forReader(3, json({ certificate_chain: ['a', 'b'] })),
    ...forReader(4, quoteAnswer()),
    ...forReader(5, json({ encrypted_key: '00', provider_quote: '0xabcd' })),
    ...forReader(7, json({ id: 'TDX', version: 3, fmspc: '000000000000', pceId: '0000', tcbLevels: [] })),
    ...forReader(9, json({ error: 'the app is not allowed' }), '<html>no</html>'),
  ],
  docker: () => [
    ...forReader(0, Buffer.concat([frame(1, 'hello\n'), frame(2, 'oh\n')])),
    ...forReader(
      1,
      json({
        State: { Health: { Status: 'healthy' }, StartedAt: '2026-01-01T00:00:00Z', ExitCode: 0, OOMKilled: false },
        RestartCount: 1,
        Config: { Tty: true },
      }),
    ),
    ...forReader(
      2,
      json({
        cpu_stats: { cpu_usage: { total_usage: 5 } },
        memory_stats: { usage: 9, limit: 10, stats: { inactive_file: 3 } },
        networks: { eth0: { rx_bytes: 1, tx_bytes: 2 } },
      }),
    ),
    ...forReader(
      3,
      json([{ Service: 'a', Name: 'b', Image: 'c', State: 'exited', ExitCode: 1 }]),
      '{"Service":"a"}\n{}',
    ),
    ...forReader(4, json({ name: 'x', services: { web: { image: 'a', profiles: ['a'] }, b: { build: {} } } })),
    ...forReader(5, json({ message: 'no such container' })),
  ],
  'compose-file': () =>
    [
      'services:\n  web:\n    image: nginx\n    profiles: [a]\n  db:\n    build: .\n',
      'name: x\nservices:\n  a: &a\n    image: b\n  c:\n    <<: *a\n---\nservices:\n  d: {image: e}\n',
      'include:\n  - other.yaml\n',
    ].map((text) => Uint8Array.from(Buffer.from(text))),
  'gpu-evidence': () => [
    ...forReader(0, json({ result_code: 0, result_message: 'ok', claims: [CLAIM], detached_eat: [] })),
    ...forReader(1, json({ result: [{ expressions: [{ value: true, text: 'data.policy.nv_match' }] }] })),
  ],
  addresses: () => [
    ...forReader(0, 'vsock://2:1000/api', 'http://[::1]:8080/a/', 'unix:/run/x.sock', 'https://kms.example'),
    ...forReader(1, 'gw.example:9182', '[fd00::1]:1', '192.0.2.1:65535'),
    ...forReader(2, '64M', '1.5 GiB', '0'),
    ...forReader(3, '0.5.4\n>=0.5.3, <0.6', '1.2.3-rc.1\n^1.2.0-a || ~2'),
    ...forReader(4, 'since=1h&until=5&follow=1&text&bare=true&tail=10'),
    ...forReader(5, 'http://proxy.example:8080'),
    ...forReader(
      6,
      Buffer.concat([Buffer.from('SM\r\n\r\n'), Buffer.from('0000000400000000000000050105000000018884', 'hex')]),
    ),
  ],
  evidence: () => {
    const attestation = strip(sampleAttestation(2));
    return [
      sampleQuote(),
      Buffer.from(Buffer.from(sampleQuote()).toString('hex')),
      encodeVersioned(attestation),
      encodeVersioned(attestation, 'V1'),
      Buffer.from(
        json({
          quote: Buffer.from(sampleQuote()).toString('hex'),
          event_log: quoteLogJson(tdxEventLog(attestation)),
          report_data: '',
          vm_config: '',
        }),
      ),
    ].map((bytes) => Uint8Array.from(bytes));
  },
};
