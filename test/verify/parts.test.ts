/** Parts of a verification that whole evidence of the simulator does not reach. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import { p256FromScalar } from '../../src/keys/derive.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { fullLogJson } from '../../src/tdx/log-json.ts';
import { mrConfigIdV1, mrConfigIdV2, mrConfigIdV3 } from '../../src/tdx/mr-config.ts';
import { parseQuote, type TdQuoteBody } from '../../src/tdx/quote-layout.ts';
import { verdictOf } from '../../src/verify/check.ts';
import { checkTd } from '../../src/verify/quote-check.ts';
import { readEvidence } from '../../src/verify/recognise.ts';
import { judgeModule, parseTcbInfo } from '../../src/verify/tcb-info.ts';
import { octets } from '../../src/x509/der-write.ts';
import { issueCertificate, OID } from '../../src/x509/x509.ts';
import { loadX509 } from '../x509.ts';
import { attestationOf, bootEvents, COLLATERAL, COMPOSE_HASH, judge, named, quoteOf } from './guest.ts';

const BODY = parseQuote(quoteOf(bootEvents())).body;
const outcomes = (body: TdQuoteBody) => checkTd(body).map(({ name, outcome }) => `${name} ${outcome}`);

describe('the TD', () => {
  it('of TDX 1.5 must not be bound to a service TD', () => {
    const fine = ['td-debug pass', 'seam-signer pass'];
    expect(outcomes(BODY)).toEqual(fine);
    expect(outcomes({ ...BODY, mrServiceTd: new Uint8Array(48) })).toEqual([...fine, 'service-td pass']);
    expect(outcomes({ ...BODY, mrServiceTd: new Uint8Array(48).fill(1) })).toEqual([...fine, 'service-td fail']);
  });

  it('must have no bit of the untrusted group set', () => {
    for (let bit = 0; bit < 8; bit++) {
      const tdAttributes = Uint8Array.from(BODY.tdAttributes);
      tdAttributes[0] = 1 << bit;
      expect(outcomes({ ...BODY, tdAttributes })[0]).toBe('td-debug fail');
    }
  });
});

describe('the TDX module', () => {
  const zeros = '00'.repeat(48);
  const identity = (id: string, changes: object = {}) => ({
    id,
    mrsigner: zeros,
    attributes: '0000000000000000',
    attributesMask: 'FFFFFFFFFFFFFFFF',
    tcbLevels: [
      { tcb: { isvsvn: 5 }, tcbStatus: 'UpToDate' },
      { tcb: { isvsvn: 2 }, tcbStatus: 'OutOfDate', advisoryIDs: ['INTEL-SA-1'] },
    ],
    ...changes,
  });
  const info = (modules: object[]) =>
    parseTcbInfo(JSON.stringify({ ...JSON.parse(COLLATERAL.tcb_info), tdxModuleIdentities: modules }));
  const judged = (svn: number, major: number, modules = [identity('TDX_01')]) => {
    const teeTcbSvn = new Uint8Array(16);
    teeTcbSvn.set([svn, major]);
    return judgeModule(info(modules), { ...BODY, teeTcbSvn });
  };

  it('is judged by its own identity and level', () => {
    expect(judged(5, 1)).toEqual({ status: 'UpToDate', advisories: [] });
    expect(judged(9, 1).status).toBe('UpToDate');
    expect(judged(4, 1)).toEqual({ status: 'OutOfDate', advisories: ['INTEL-SA-1'] });
    expect(judged(0, 0, []).status).toBe('UpToDate');
  });

  it('is refused when nothing describes it', () => {
    expect(judged(1, 1).refused).toContain('below every level');
    expect(judged(5, 3).refused).toBe('TCB info has no module TDX_03');
    expect(judged(5, 1, [identity('TDX_01', { mrsigner: '11'.repeat(48) })]).refused).toContain('another signer');
    expect(judged(5, 1, [identity('TDX_01', { attributes: '0000000000000001' })]).refused).toContain('has attributes');
  });
});

describe('revocation', () => {
  it('of a signer makes the collateral unusable', async () => {
    const { rootCrl } = mockPki(new Uint8Array(32).fill(0x31), { revoked: [42] });
    const report = await judge(quoteOf(bootEvents()), { collateral: { ...COLLATERAL, root_ca_crl: toHex(rootCrl) } });
    expect(named(report, 'unknown').join()).toMatch(/tcb_info .*"Mock Intel SGX TCB Signing" is revoked/);
  });

  it('of the PCK certificate makes the quote invalid', async () => {
    const { pckCrl } = mockPki(new Uint8Array(32).fill(0x31), { revoked: [7, 42] });
    const report = await judge(quoteOf(bootEvents()), { collateral: { ...COLLATERAL, pck_crl: toHex(pckCrl) } });
    expect(named(report, 'fail').join()).toMatch(/^dcap: the PCK certificate of the platform, or its CA, is revoked/);
  });
});

describe('MR_CONFIG_ID', () => {
  const local = { composeHash: COMPOSE_HASH, appId: new Uint8Array(20).fill(1), keyProvider: 'none' as const };
  const document = JSON.stringify({ compose_hash: toHex(COMPOSE_HASH), key_provider: 'none' });
  const bound = async (mrConfigId: Uint8Array, config = '{}') => {
    const report = await judge(encodeVersioned({ ...attestationOf(bootEvents(), { mrConfigId }), config }));
    return report.checks.find(({ name }) => name === 'mr-config')?.outcome;
  };

  it('binds the app in each of its versions', async () => {
    const v2 = mrConfigIdV2({ ...local, keyProviderId: new Uint8Array() });
    expect(await bound(mrConfigIdV1(COMPOSE_HASH))).toBe('pass');
    expect(await bound(v2)).toBe('pass');
    expect(await bound(mrConfigIdV3(document), JSON.stringify({ mr_config: document }))).toBe('pass');
    expect(await bound(mrConfigIdV3(document))).toBe('note');
    expect(await bound(mrConfigIdV1(new Uint8Array(32)))).toBe('fail');
    expect(await bound(mrConfigIdV2({ ...local, keyProviderId: Uint8Array.of(1) }))).toBe('fail');
    expect(await bound(new Uint8Array(48).fill(9))).toBe('fail');
  });
});

describe('certificates of older guests', () => {
  it('carry the bare quote and the event log', async () => {
    const key = p256FromScalar(new Uint8Array(32).fill(7));
    const attestation = attestationOf(bootEvents(), { reportData: certReportData(key.spkiDer) });
    const { platform } = attestation;
    if (platform.kind !== 'tdx') throw new Error('not TDX');
    const x509 = await loadX509();
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const signingKey = await crypto.subtle.importKey('pkcs8', new Uint8Array(key.pkcs8Der), algorithm, false, ['sign']);
    const log = new TextEncoder().encode(JSON.stringify(fullLogJson(platform.eventLog)));
    const certificate = await x509.X509CertificateGenerator.create({
      subject: 'CN=old',
      issuer: 'CN=old',
      notBefore: new Date('2020-01-01'),
      notAfter: new Date('2040-01-01'),
      publicKey: new Uint8Array(key.spkiDer),
      signingKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [
        new x509.Extension(OID.legacyQuote, false, octets(platform.quote)),
        new x509.Extension(OID.legacyEventLog, false, octets(log)),
      ],
    });
    const report = await judge(new Uint8Array(certificate.rawData));
    expect([report.verdict, ...named(report, 'fail')]).toEqual(['valid']);
    expect(report.evidence?.form).toBe('RA-TLS certificate, quote and event log');
    expect(report.rows).toHaveLength(10);
    const plain = await issueCertificate({ commonName: 'x' }, key);
    expect(plain).toContain('CERTIFICATE');
  });
});

describe('hostile input', () => {
  const samples = [
    quoteOf(bootEvents()),
    encodeVersioned(attestationOf()),
    encodeVersioned(attestationOf(bootEvents(2))),
  ];

  it('of any bytes is an error of this program or evidence, never anything else', () => {
    const heads = [[], [4, 0], [5, 0], [0, 0], [0x83], [0x30, 0x82], [0x7b], [0x2d, 0x2d, 0x2d, 0x2d, 0x2d]];
    fc.assert(
      fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 400 }), (head, rest) => {
        try {
          readEvidence(Uint8Array.from([...head, ...rest]));
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'EVIDENCE_INVALID' });
        }
      }),
      { numRuns: 500 },
    );
  });

  const flipped = fc.record({ sample: fc.nat(2), where: fc.nat(), bit: fc.nat(7) });

  it('with one bit changed is refused, or tells the same', { timeout: 120_000 }, async () => {
    const original = await Promise.all(samples.map((sample) => judge(sample)));
    const told = ({ rows, quote, identity }: Awaited<ReturnType<typeof judge>>) =>
      // vm_config and the payloads of firmware events are covered by nothing: the host states them
      JSON.stringify([rows, quote, { ...identity?.info, osImageHash: undefined }]);
    await fc.assert(
      fc.asyncProperty(flipped, async ({ sample, where, bit }) => {
        const copy = Uint8Array.from(samples[sample] ?? []);
        const at = where % copy.length;
        copy[at] = (copy[at] ?? 0) ^ (1 << bit);
        const report = await judge(copy);
        if (report.verdict !== 'valid') return true;
        return sample !== 0 && told(report) === told(original[sample] as typeof report);
      }),
      { numRuns: 80 },
    );
  });

  it('leaves nothing open that failed', () => {
    expect(
      verdictOf([
        { name: 'a', outcome: 'unknown', detail: '' },
        { name: 'b', outcome: 'fail', detail: '' },
      ]),
    ).toBe('invalid');
    expect(verdictOf([{ name: 'a', outcome: 'note', detail: '' }])).toBe('valid');
  });
});
