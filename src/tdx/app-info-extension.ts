/** The app-info certificate extension (.9): the identity as a msgpack array of nine (dstack keys and certificates). */
import { decodeMsgpack, type MsgpackValue } from '../codec/msgpack.ts';
import { encodeMsgpack } from '../codec/msgpack-write.ts';
import { DstackError } from '../errors.ts';
import type { AppInfo } from './app-identity.ts';

const MAX_INIT_SCRIPTS = 5;
const FIELDS = [
  'appId',
  'composeHash',
  'instanceId',
  'deviceId',
  'mrSystem',
  'mrAggregated',
  'osImageHash',
  'keyProviderInfo',
] as const satisfies readonly (keyof AppInfo)[];

/** @param unknownScripts write nil instead of the list: the platform does not tell which init scripts ran */
export function encodeAppInfo(info: AppInfo, options: { unknownScripts?: boolean } = {}): Uint8Array {
  return encodeMsgpack([...FIELDS.map((field) => info[field]), options.unknownScripts ? null : info.initScriptHashes]);
}

function bad(why: string): DstackError {
  return new DstackError('ATTESTATION_INVALID', `app info ${why}`, { field: 'app_info' });
}

/** Reads nine elements, or the eight of older guests. @throws ATTESTATION_INVALID */
export function decodeAppInfoExtension(bytes: Uint8Array): AppInfo {
  let value: MsgpackValue;
  try {
    value = decodeMsgpack(bytes);
  } catch (thrown) {
    throw new DstackError('ATTESTATION_INVALID', 'app info is damaged', { field: 'app_info', cause: thrown });
  }
  if (!Array.isArray(value) || (value.length !== 9 && value.length !== 8)) throw bad('is not an array of nine');
  const list = value;
  const binary = (item: MsgpackValue | undefined, name: string): Uint8Array => {
    if (!(item instanceof Uint8Array)) throw bad(`element ${name} is not binary`);
    return item;
  };
  const scripts = list[8] ?? [];
  if (!Array.isArray(scripts) || scripts.length > MAX_INIT_SCRIPTS) throw bad('has a bad list of init scripts');
  const entries = FIELDS.map((field, index) => [field, binary(list[index], field)] as const);
  return {
    ...(Object.fromEntries(entries) as Record<(typeof FIELDS)[number], Uint8Array>),
    initScriptHashes: scripts.map((hash) => {
      const item = binary(hash, 'init_script_hashes');
      if (item.length !== 32) throw bad('has an init script hash that is not 32 bytes');
      return item;
    }),
  };
}
