/**
 * /run/log/dstack/gateway.json: how registrations with gateways ended in this boot. Setup, `gateway-refresh` and the
 * checker write it after each attempt; the agent reads it for /metrics and the page. Nothing in it is secret.
 */
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { type ErrorCode, errorChain, toDstackError } from '../errors.ts';
import { ifExists, makeDir, readLimited, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { KmsContact } from './kms-contact.ts';

const LIMIT = 64 * 1024;

/** Times are Unix seconds. */
export interface GatewayRecord {
  /** end of the last attempt */
  readonly attemptedAt: number;
  /** end of the last registration that succeeded */
  readonly registeredAt: number | undefined;
  /** attempts that failed since then */
  readonly failures: number;
  /** how the last attempt ended: `ok`, or the code of the error */
  readonly outcome: 'ok' | ErrorCode;
  /** end of the certificates with which this guest shows itself to gateways */
  readonly certNotAfter: number | undefined;
  /** the last call to the KMS for those certificates */
  readonly kms: KmsContact | undefined;
}

/** What one attempt found out, whether it succeeded or not. */
export type Attempted = Partial<Pick<GatewayRecord, 'certNotAfter' | 'kms'>>;

/** The record after one more attempt. @param now Unix seconds */
export function afterAttempt(
  before: GatewayRecord | undefined,
  now: number,
  { certNotAfter = before?.certNotAfter, kms = before?.kms }: Attempted,
  thrown?: unknown,
): GatewayRecord {
  const seen = kms && { ...kms, succeededAt: kms.succeededAt ?? before?.kms?.succeededAt };
  const found = { attemptedAt: now, certNotAfter, kms: seen };
  if (thrown === undefined) return { ...found, registeredAt: now, failures: 0, outcome: 'ok' };
  const failures = (before?.failures ?? 0) + 1;
  return { ...found, registeredAt: before?.registeredAt, failures, outcome: toDstackError(thrown).code };
}

const time = (fields: Fields, name: string): number | undefined =>
  fields.has(name) ? fields.integer(name, 0, Number.MAX_SAFE_INTEGER) : undefined;

/** `ok` or the form of an error code: whatever else is there came from somebody else. */
function outcome(fields: Fields): 'ok' | ErrorCode {
  const text = fields.string('outcome');
  if (text !== 'ok' && !/^[A-Z][A-Z0-9_]{1,63}$/.test(text)) fields.fail('outcome', 'must be ok or an error code');
  return text as 'ok' | ErrorCode;
}

/** @throws JSON_INVALID, DOCUMENT_INVALID naming the field */
export function parseGatewayRecord(raw: Uint8Array, path: string): GatewayRecord {
  const fields = new Fields(parseStrictJsonBytes(raw, path), { path });
  const kms = fields.object('kms');
  if (!fields.has('attempted_at')) fields.fail('attempted_at', 'is missing');
  return {
    attemptedAt: time(fields, 'attempted_at') ?? 0,
    registeredAt: time(fields, 'registered_at'),
    failures: fields.integer('failures', 0, Number.MAX_SAFE_INTEGER),
    outcome: outcome(fields),
    certNotAfter: time(fields, 'cert_not_after'),
    kms: kms && { at: time(kms, 'at') ?? 0, outcome: outcome(kms), succeededAt: time(kms, 'succeeded_at') },
  };
}

/** Compact JSON; what is not known is left out. */
export function formatGatewayRecord({ kms, ...record }: GatewayRecord): string {
  return JSON.stringify({
    attempted_at: record.attemptedAt,
    registered_at: record.registeredAt,
    failures: record.failures,
    outcome: record.outcome,
    cert_not_after: record.certNotAfter,
    kms: kms && { at: kms.at, outcome: kms.outcome, succeeded_at: kms.succeededAt },
  });
}

/** The record of this boot; undefined before the first attempt. @throws FILE_*, JSON_INVALID, DOCUMENT_INVALID */
export async function readGatewayRecord(path: string): Promise<GatewayRecord | undefined> {
  const raw = await ifExists(() => readLimited(path, LIMIT));
  return raw === undefined ? undefined : parseGatewayRecord(raw, path);
}

/** Notes the end of an attempt. A record that cannot be written is a warning: the registration counts, not its record. */
export async function noteAttempt(path: string, now: number, found: Attempted, thrown?: unknown): Promise<void> {
  try {
    const before = await readGatewayRecord(path).catch(() => undefined);
    await makeDir(path.slice(0, path.lastIndexOf('/')));
    await writeAtomic(path, formatGatewayRecord(afterAttempt(before, now, found, thrown)), 0o644);
  } catch (failure) {
    ui.warn(`the end of the registration was not noted: ${errorChain(failure)}`);
  }
}
