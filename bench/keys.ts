/** `npm run bench -- keys`: derivation, signatures and certificates inside one process, under the product's runtime. */
import { randomBytes } from 'node:crypto';
import { mockQuote } from '../simulator/mock-quote.ts';
import { mockPki } from '../simulator/pki.ts';
import { localCaCert, signLeaf } from '../src/keys/ca-cert.ts';
import { encodeCsr, signCsr } from '../src/keys/csr.ts';
import { getKey } from '../src/keys/get-key.ts';
import { KeyCache } from '../src/keys/key-cache.ts';
import { certReportData } from '../src/keys/report-data.ts';
import { keysFromSeed } from '../src/keys/seed-keys.ts';
import { signData, verifyData } from '../src/keys/sign.ts';
import { tempCertificate } from '../src/keys/temp-cert.ts';
import { freshTlsKey, privateKeyPem } from '../src/keys/tls-key.ts';
import { encodeVersioned } from '../src/tdx/attestation.ts';

const RUNS = 300;

interface Figure {
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
  /** processor time of all threads a run: what remains of the figure when the machine is busy with other things */
  readonly cpu: number;
}

async function measure(work: (run: number) => unknown, runs = RUNS): Promise<Figure> {
  const times: number[] = [];
  let first = 0;
  let cpuBegan = process.cpuUsage();
  for (let run = 0; run <= runs; run++) {
    const began = performance.now();
    await work(run);
    const took = performance.now() - began;
    if (run > 0) times.push(took);
    else {
      first = took;
      cpuBegan = process.cpuUsage();
    }
  }
  const { user, system } = process.cpuUsage(cpuBegan);
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { first, p50: at(0.5), p99: at(0.99), cpu: (user + system) / 1000 / runs };
}

function row(name: string, { first, p50, p99, cpu }: Figure, budget?: number): void {
  const number = (value: number) => value.toFixed(3).padStart(9);
  const limit = budget === undefined ? '' : `budget ${budget}`;
  console.log(`  ${name.padEnd(42)}${number(p50)}${number(p99)}${number(cpu)}${number(first)}   ${limit}`.trimEnd());
}

const seed = Uint8Array.from(randomBytes(32));
const { appKey, ...keys } = keysFromSeed(seed, { kind: 'none' });
const zero = new Uint8Array(48);
const pki = mockPki(new Uint8Array(32).fill(1));
const reportData = certReportData(appKey.spkiDer);
/** evidence of the usual size */
const evidence = encodeVersioned({
  platform: {
    kind: 'tdx',
    quote: mockQuote(pki, { mrtd: zero, rtmrs: [zero, zero, zero, zero], reportData }),
    eventLog: [],
  },
  reportData,
  runtimeEvents: [],
  config: '{}',
});

console.log(`milliseconds, ${RUNS} runs in one process (${'Bun' in globalThis ? 'Bun' : 'Node'})`);
console.log(`  ${''.padEnd(42)}${'p50'.padStart(9)}${'p99'.padStart(9)}${'cpu'.padStart(9)}${'first'.padStart(9)}`);
row('GetKey, uncached', await measure((run) => getKey(keys, `path/${run}`, 'bench', 'secp256k1')), 1);
row('GetKey, uncached, ed25519', await measure((run) => getKey(keys, `path/${run}`, 'bench', 'ed25519')), 1);
const cache = new KeyCache(keys);
row('GetKey, cached', await measure(() => cache.get('path', 'bench', 'secp256k1')), 0.1);
const data = randomBytes(1024);
for (const algorithm of ['secp256k1', 'ed25519']) {
  row(`Sign 1 KB, ${algorithm}`, await measure(() => signData(cache, algorithm, data)));
  const { signature, publicKey } = await signData(cache, algorithm, data);
  row(`Verify 1 KB, ${algorithm}`, await measure(() => verifyData(algorithm, data, signature, publicKey)));
}
row('TLS key', await measure(() => freshTlsKey()));
const caCert = await localCaCert({ appKey, attestation: evidence });
row('CA certificate with evidence', await measure(() => localCaCert({ appKey, attestation: evidence })), 3);
const leaf = { commonName: 'app.example', altNames: ['app.example'], serverAuth: true, attestation: evidence };
row('leaf with evidence, key included', await measure(() => signLeaf({ ...keys, caCert }, freshTlsKey(), leaf)), 3);
const plain = { commonName: 'app.example', altNames: ['app.example'], serverAuth: true };
row('leaf without, key included', await measure(() => signLeaf({ ...keys, caCert }, freshTlsKey(), plain)), 3);
const ca = { certificate: caCert, key: privateKeyPem(appKey) };
row('temporary client certificate', await measure(() => tempCertificate(ca, async () => evidence)), 3);
const request = { spkiDer: appKey.spkiDer, commonName: 'x', altNames: [], serverAuth: true, clientAuth: true };
row(
  'certificate request, signed',
  await measure(() =>
    signCsr(encodeCsr({ ...request, withQuote: true, withAppInfo: true, attestation: evidence }), appKey),
  ),
);
