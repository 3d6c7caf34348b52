import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { mockPki, pemChain } from '../../simulator/pki.ts';
import { fromHex } from '../../src/codec/hex.ts';
import { type Collateral, parseCollateral } from '../../src/verify/collateral-format.ts';
import { collateralFrom } from '../../src/verify/collateral-source.ts';
import { INTEL_ROOT_PEM, INTEL_ROOT_SHA256 } from '../../src/verify/intel-root.ts';
import { readPlatform } from '../../src/verify/pck.ts';
import { worstStatus } from '../../src/verify/tcb-policy.ts';
import { parseCertificate } from '../../src/x509/x509.ts';
import { bootEvents, bytesOf, COLLATERAL, judge, NOW, named, PKI, quoteOf, ROOT } from './guest.ts';

const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const DAY = 86_400_000;
const QUOTE = quoteOf(bootEvents());
const PLATFORM = readPlatform(pemChain(PKI.pck, PKI.pckCa, PKI.root));
const dir = mkdtempSync(join(tmpdir(), 'collateral-'));
afterAll(() => rmSync(dir, { recursive: true }));

const with_ = (changes: Partial<Collateral>): Collateral => ({ ...COLLATERAL, ...changes });
const without = async (collateral: Collateral, at = NOW): Promise<string> => {
  const report = await judge(QUOTE, { collateral, at });
  expect(report.verdict).toBe('unchecked');
  return named(report, 'unknown').join();
};

describe('Intel’s root', () => {
  it('is the certificate with the published fingerprint, and the one of the library', () => {
    const certificate = new X509Certificate(INTEL_ROOT_PEM);
    expect(createHash('sha256').update(certificate.raw).digest('hex')).toBe(INTEL_ROOT_SHA256);
    expect(certificate.subject).toContain('CN=Intel SGX Root CA');
    const { constants } = createRequire(import.meta.url)('@phala/dcap-qvl') as typeof import('@phala/dcap-qvl');
    expect(Buffer.compare(certificate.raw, constants.TRUSTED_ROOT_CA_DER)).toBe(0);
    expect(parseCertificate(new Uint8Array(certificate.raw))).toMatchObject({
      commonName: 'Intel SGX Root CA',
      ca: true,
    });
  });
});

describe('collateral that is not acceptable leaves the quote unjudged', () => {
  const other = mockCollateral(OTHER, NOW);
  it.each([
    ['outdated TCB info', COLLATERAL, NOW + 31 * DAY, 'TCB info is valid from'],
    ['TCB info of the future', COLLATERAL, NOW - 2 * DAY, 'TCB info is valid from'],
    [
      'changed TCB info',
      with_({ tcb_info: COLLATERAL.tcb_info.replace('UpToDate', 'OutOfDate') }),
      NOW,
      'signature of Mock Intel SGX TCB',
    ],
    [
      'a changed QE identity',
      with_({ qe_identity: `${COLLATERAL.qe_identity} ` }),
      NOW,
      'signature of Mock Intel SGX QE',
    ],
    ['TCB info under another root', with_({ ...other, root_ca_crl: COLLATERAL.root_ca_crl }), NOW, 'tcb_info'],
    [
      'collateral of another platform',
      mockCollateral(PKI, NOW, { fmspc: 'b0c06f000000' }),
      NOW,
      'the collateral is for platform b0c06f000000',
    ],
    ['a root CRL of somebody else', with_({ root_ca_crl: other.root_ca_crl }), NOW, 'root_ca_crl'],
    ['a PCK CRL of somebody else', with_({ pck_crl: other.pck_crl }), NOW, 'pck_crl'],
    ['a PCK CRL that is none', with_({ pck_crl: '3000' }), NOW, 'pck_crl'],
    [
      'a PCK certificate as signer',
      with_({ tcb_info_issuer_chain: pemChain(PKI.pck, PKI.pckCa, PKI.root) }),
      NOW,
      'signer',
    ],
  ])('%s', async (_, collateral, at, message) => {
    expect(await without(collateral, at)).toContain(message);
  });

  it('the library alone would take a CRL that nobody signed', () => {
    const { QuoteVerifier } = createRequire(import.meta.url)('@phala/dcap-qvl') as typeof import('@phala/dcap-qvl');
    const verifier = QuoteVerifier.newWithRootCa(Buffer.from(PKI.root));
    const lax = verifier.verify(Buffer.from(QUOTE), with_({ root_ca_crl: '3000', pck_crl: '' }), NOW / 1000);
    expect(lax.status).toBe('UpToDate');
  });
});

describe('TCB status', () => {
  it('passes only as UpToDate unless the user allows more', async () => {
    const collateral = mockCollateral(PKI, NOW, { tcbStatus: 'SWHardeningNeeded', advisoryIds: ['INTEL-SA-00001'] });
    const report = await judge(QUOTE, { collateral });
    expect(named(report, 'fail')).toEqual([
      'tcb-status: SWHardeningNeeded (INTEL-SA-00001) is not allowed, only UpToDate',
    ]);
    expect((await judge(QUOTE, { collateral, allow: ['SWHardeningNeeded'] })).verdict).toBe('valid');
    const revoked = mockCollateral(PKI, NOW, { tcbStatus: 'Revoked' });
    expect((await judge(QUOTE, { collateral: revoked, allow: ['OutOfDate'] })).verdict).toBe('invalid');
    await expect(async () => judge(QUOTE, { allow: ['Revoked'] })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('merges to the worst', () => {
    expect(worstStatus(['UpToDate', 'OutOfDate', 'SWHardeningNeeded'])).toBe('OutOfDate');
    expect(worstStatus(['Revoked', 'Nonsense'])).toBe('Nonsense');
  });
});

describe('sources', () => {
  it('reads a file with bytes as hex or as arrays', async () => {
    const path = join(dir, 'c.json');
    const arrays = { ...COLLATERAL, pck_crl: [...fromHex(COLLATERAL.pck_crl)], pck_certificate_chain: null };
    writeFileSync(path, JSON.stringify(arrays));
    const found = await collateralFrom({ from: path, root: ROOT })(PLATFORM);
    expect(found).toEqual({ collateral: COLLATERAL, source: path });
    expect(parseCollateral(bytesOf(COLLATERAL), 'x')).toEqual(COLLATERAL);
  });

  it.each([
    ['no JSON', 'x'],
    ['a missing member', JSON.stringify({ ...COLLATERAL, tcb_info: undefined })],
    ['a member of another type', JSON.stringify({ ...COLLATERAL, pck_crl: [256] })],
  ])('refuses a file with %s', async (_, text) => {
    const path = join(dir, 'bad.json');
    writeFileSync(path, text);
    await expect(collateralFrom({ from: path, root: ROOT })(PLATFORM)).rejects.toMatchObject({
      code: 'COLLATERAL_INVALID',
    });
  });

  it('says what to do when there is none', async () => {
    const nothing = collateralFrom({ root: ROOT, cacheDir: join(dir, 'empty') });
    await expect(nothing(PLATFORM)).rejects.toMatchObject({ code: 'COLLATERAL_UNAVAILABLE' });
    const missing = collateralFrom({ from: join(dir, 'missing.json'), root: ROOT });
    await expect(missing(PLATFORM)).rejects.toMatchObject({ code: 'COLLATERAL_UNAVAILABLE' });
    expect(readFileSync(join(dir, 'c.json'), 'utf8')).toContain('tcb_info');
  });
});
