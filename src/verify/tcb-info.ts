/** The members of Intel's TCB info that verification needs beside the library (Intel PCS API v4, TCB info for TDX). */
import { toHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';

export interface TcbInfo {
  /** lower-case hex */
  readonly fmspc: string;
  readonly pceId: string;
  /** milliseconds */
  readonly issued: number;
  readonly nextUpdate: number;
  readonly module: ModuleIdentity;
  /** TDX modules from version 1 on, by `TDX_01` and so on */
  readonly modules: ReadonlyMap<string, ModuleIdentity>;
}

interface ModuleIdentity {
  /** lower-case hex, 48 bytes */
  readonly mrSigner: string;
  readonly attributes: bigint;
  readonly mask: bigint;
  readonly levels: readonly { readonly svn: number; readonly status: string; readonly advisories: string[] }[];
}

/** Validity of a signed document of the PCS. */
export function validity(fields: Fields): { issued: number; nextUpdate: number } {
  const time = (field: string): number => {
    const value = Date.parse(fields.string(field));
    if (Number.isNaN(value)) fields.fail(field, 'is not a time', fields.raw(field));
    return value;
  };
  return { issued: time('issueDate'), nextUpdate: time('nextUpdate') };
}

/** Reads TCB info. @throws JSON_INVALID, DOCUMENT_INVALID */
export function parseTcbInfo(text: string): TcbInfo {
  const path = 'tcb_info';
  const fields = new Fields(parseStrictJson(text, path), { path });
  if (fields.string('id') !== 'TDX') fields.fail('id', 'must be TDX', fields.raw('id'));
  if (fields.integer('version', 0, 100) !== 3) fields.fail('version', 'must be 3', fields.raw('version'));
  const module = fields.object('tdxModule') ?? fields.fail('tdxModule', 'is missing');
  const modules = fields.objects('tdxModuleIdentities').map((identity) => {
    return [identity.string('id'), moduleOf(identity)] as const;
  });
  return {
    fmspc: toHex(fields.requiredHex('fmspc', 6)),
    pceId: toHex(fields.requiredHex('pceId', 2)),
    ...validity(fields),
    module: moduleOf(module),
    modules: new Map(modules),
  };
}

function moduleOf(fields: Fields): ModuleIdentity {
  return {
    mrSigner: toHex(fields.requiredHex('mrsigner', 48)),
    attributes: bits(fields.requiredHex('attributes', 8)),
    mask: bits(fields.requiredHex('attributesMask', 8)),
    levels: fields.objects('tcbLevels').map((level) => ({
      svn: (level.object('tcb') ?? level.fail('tcb', 'is missing')).integer('isvsvn', 0, 0xffff),
      status: level.string('tcbStatus'),
      advisories: level.strings('advisoryIDs'),
    })),
  };
}

const bits = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);

/** What the TCB info says about the TDX module that loaded this guest. */
export interface ModuleVerdict {
  readonly status: string;
  readonly advisories: readonly string[];
  /** why the module is refused whatever its status, in words */
  readonly refused?: string;
}

/**
 * Judges the TDX module: TEE_TCB_SVN byte 1 is its major version, byte 0 its security version. Version 0 is judged by
 * `tdxModule` alone, later ones by their own identity (Intel SGX/TDX DCAP quote verification library, TDX module check).
 */
export function judgeModule(info: TcbInfo, body: TdQuoteBody): ModuleVerdict {
  const [svn = 0, major = 0] = body.teeTcbSvn;
  const id = `TDX_${major.toString(16).padStart(2, '0').toUpperCase()}`;
  const identity = major === 0 ? info.module : info.modules.get(id);
  const refuse = (refused: string): ModuleVerdict => ({ status: 'Unknown', advisories: [], refused });
  if (identity === undefined) return refuse(`TCB info has no module ${id}`);
  if (toHex(body.mrSignerSeam) !== identity.mrSigner) return refuse(`module ${id} has another signer`);
  if ((bits(body.seamAttributes) & identity.mask) !== identity.attributes) {
    return refuse(`module ${id} has attributes ${toHex(body.seamAttributes)}`);
  }
  if (major === 0) return { status: 'UpToDate', advisories: [] };
  const level = identity.levels.find((candidate) => svn >= candidate.svn);
  if (level === undefined) return refuse(`module ${id} has SVN ${svn}, below every level of the TCB info`);
  return { status: level.status, advisories: level.advisories };
}
