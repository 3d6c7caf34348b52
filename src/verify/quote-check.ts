/** Is the quote genuine: collateral, DCAP verification, TCB level, revocation, and the TD's own attributes. */
import { toHex } from '../codec/hex.ts';
import { DstackError, errorChain } from '../errors.ts';
import type { TdQuote, TdQuoteBody } from '../tdx/quote-layout.ts';
import { type Certificate, checkChain, isRevoked } from '../x509/x509.ts';
import { type Check, fail, pass, unknown } from './check.ts';
import { type CheckedCollateral, checkCollateral, type SignedDate } from './collateral-check.ts';
import type { Collateral } from './collateral-format.ts';
import { verifyDcap } from './dcap.ts';
import { type PckPlatform, pckChainText, readPlatform } from './pck.ts';
import { judgeModule } from './tcb-info.ts';
import { type TcbStatus, worstStatus } from './tcb-policy.ts';

export interface FoundCollateral {
  readonly collateral: Collateral;
  /** where it came from, for people */
  readonly source: string;
}

export interface QuoteCheckOptions {
  readonly root: Certificate;
  /** milliseconds */
  readonly at: number;
  readonly allowed: readonly TcbStatus[];
  /** advisories (INTEL-SA-...) that must not apply to the platform, whatever its status */
  readonly refusedAdvisories?: readonly string[] | undefined;
  /** told the date (milliseconds) of every part of the collateral whose signature is good, also when it is not yet valid */
  readonly signed?: SignedDate | undefined;
  /** finds collateral for the platform; throws COLLATERAL_UNAVAILABLE, COLLATERAL_INVALID */
  readonly collateral: (platform: PckPlatform | undefined) => Promise<FoundCollateral>;
}

export interface Tcb {
  /** the worst of platform, quoting enclave and TDX module */
  readonly status: string;
  readonly advisories: readonly string[];
}

export interface QuoteCheck {
  readonly checks: readonly Check[];
  readonly tcb?: Tcb;
  /** only when the quote is genuine */
  readonly platform?: PckPlatform;
  readonly collateral?: { readonly source: string; readonly validUntil: number };
}

/** Who makes the quoting enclaves that Intel's collateral speaks of (Intel DCAP, quote header). */
const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607';

/** Checks a quote. Never throws for what the quote holds. */
export async function checkQuote(bytes: Uint8Array, quote: TdQuote, options: QuoteCheckOptions): Promise<QuoteCheck> {
  let platform: PckPlatform | undefined;
  let found: FoundCollateral;
  let checked: CheckedCollateral;
  const vendor = toHex(quote.qeVendorId);
  if (vendor !== INTEL_QE_VENDOR) return { checks: [fail('dcap', `the quoting enclave is of vendor ${vendor}`)] };
  try {
    platform = carriedPlatform(quote);
    // the library does not mind a missing root; a flipped bit in any certificate must count
    if (platform !== undefined) checkChain(platform.chain, { root: options.root, at: options.at, inOrder: true });
  } catch (thrown) {
    return { checks: [fail('dcap', errorChain(thrown))] };
  }
  try {
    found = await options.collateral(platform);
    if (platform !== undefined) {
      // the library would prefer a chain of the collateral to the quote's own
      const { pck_certificate_chain: _, ...rest } = found.collateral;
      found = { ...found, collateral: rest };
    } else {
      const text = found.collateral.pck_certificate_chain;
      if (text === undefined)
        throw new DstackError('COLLATERAL_INVALID', 'neither quote nor collateral has a PCK chain');
      platform = readPlatform(text);
      checkChain(platform.chain, { root: options.root, at: options.at, inOrder: true });
    }
    checked = checkCollateral(found.collateral, options.root, options.at, platform, options.signed);
  } catch (thrown) {
    return { checks: [unknown('collateral', errorChain(thrown))] };
  }
  const collateral = { source: found.source, validUntil: checked.validUntil };
  const usable = pass('collateral', `${found.source}, valid until ${new Date(checked.validUntil).toISOString()}`);
  const judged = await judge(bytes, quote, options, platform, found.collateral, checked);
  return { ...judged, checks: [usable, ...judged.checks], collateral };
}

/** The platform of the chain inside the quote; undefined when the quote carries another kind of certification data. */
function carriedPlatform(quote: TdQuote): PckPlatform | undefined {
  let text: string;
  try {
    text = pckChainText(quote);
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.message.includes('carries no PCK')) return undefined;
    throw thrown;
  }
  return readPlatform(text);
}

async function judge(
  bytes: Uint8Array,
  quote: TdQuote,
  options: QuoteCheckOptions,
  platform: PckPlatform,
  collateral: Collateral,
  checked: CheckedCollateral,
): Promise<Pick<QuoteCheck, 'checks' | 'tcb' | 'platform'>> {
  const lists = [checked.pckCrl, checked.rootCrl];
  if (platform.chain.some((certificate) => isRevoked(certificate, lists)))
    return { checks: [fail('dcap', 'the PCK certificate of the platform, or its CA, is revoked')] };
  let result: Awaited<ReturnType<typeof verifyDcap>>;
  try {
    result = await verifyDcap(bytes, collateral, options.root.der, options.at);
  } catch (thrown) {
    return { checks: [fail('dcap', errorChain(thrown))] };
  }
  const module = judgeModule(checked.tcbInfo, quote.body);
  const tcb: Tcb = {
    status: worstStatus([result.status, module.status]),
    advisories: [...new Set([...result.advisoryIds, ...module.advisories])],
  };
  const checks = [pass('dcap', `signatures and certificates lead to ${options.root.commonName}`)];
  checks.push(
    module.refused === undefined
      ? pass('tdx-module', `version ${quote.body.teeTcbSvn[1]}.${quote.body.teeTcbSvn[0]}, ${module.status}`)
      : fail('tdx-module', module.refused),
  );
  if (module.refused === undefined) checks.push(judgeStatus(tcb, options.allowed));
  const refused = options.refusedAdvisories ?? [];
  if (refused.length > 0) checks.push(judgeAdvisories(tcb, refused));
  return { checks, tcb, platform };
}

function judgeStatus({ status, advisories }: Tcb, allowed: readonly TcbStatus[]): Check {
  const detail = advisories.length === 0 ? status : `${status} (${advisories.join(', ')})`;
  if ((allowed as readonly string[]).includes(status)) return pass('tcb-status', detail);
  return fail('tcb-status', `${detail} is not allowed, only ${allowed.join(', ')}`);
}

function judgeAdvisories({ advisories }: Tcb, refused: readonly string[]): Check {
  const name = 'tcb-advisories';
  const found = advisories.filter((id) => refused.includes(id));
  if (found.length > 0) return fail(name, `${found.join(', ')} applies to this platform, and you refuse it`);
  return pass(name, `none of ${refused.join(', ')} applies`);
}

const zero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** What must hold for every TD whose evidence means anything (dstack measurement, what remote verifiers check). */
export function checkTd(body: TdQuoteBody): Check[] {
  const debug = (body.tdAttributes[0] ?? 0xff) !== 0;
  const checks = [
    debug
      ? fail('td-debug', `the TD can be debugged: its attributes are ${toHex(body.tdAttributes)}`)
      : pass('td-debug', 'the TD cannot be debugged'),
    zero(body.mrSignerSeam)
      ? pass('seam-signer', 'the TDX module is Intel’s')
      : fail('seam-signer', `the TDX module has the signer ${toHex(body.mrSignerSeam)}`),
  ];
  if (body.mrServiceTd !== undefined) {
    checks.push(
      zero(body.mrServiceTd)
        ? pass('service-td', 'no service TD is bound')
        : fail('service-td', `service TD ${toHex(body.mrServiceTd)} is bound`),
    );
  }
  return checks;
}
