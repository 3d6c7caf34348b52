/** Which apps the development KMS gives keys to: a list in memory where a production KMS asks a contract. */
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import type { AppInfo } from '../../src/tdx/app-identity.ts';

export interface Policy {
  /** app ids as lower-case hex; empty = the compose hashes decide */
  readonly apps: ReadonlySet<string>;
  /** compose hashes as lower-case hex; empty = the app ids decide */
  readonly composeHashes: ReadonlySet<string>;
  /** every app whose evidence verifies */
  readonly any?: boolean;
}

const APP_ID_BYTES = 20;

/** @throws REQUIREMENT_UNMET: the KMS refuses this app */
export function authorise(policy: Policy, { appId, composeHash, instanceId }: AppInfo): void {
  if (appId.length !== APP_ID_BYTES) throw refuse('app', `app id has ${appId.length} bytes`);
  if (instanceId.length !== 0 && instanceId.length !== APP_ID_BYTES) {
    throw refuse('instance', `instance id has ${instanceId.length} bytes`);
  }
  if (policy.any) return;
  const { apps, composeHashes } = policy;
  if (apps.size === 0 && composeHashes.size === 0) throw refuse('app', 'nothing is allowed here');
  if (apps.size > 0 && !apps.has(toHex(appId))) throw refuse('app', `app ${toHex(appId)} is not on the list`);
  if (composeHashes.size > 0 && !composeHashes.has(toHex(composeHash))) {
    throw refuse('compose hash', `compose hash ${toHex(composeHash)} is not on the list`);
  }
}

const refuse = (what: string, why: string): DstackError =>
  new DstackError('REQUIREMENT_UNMET', `${what} not allowed`, { cause: why });
