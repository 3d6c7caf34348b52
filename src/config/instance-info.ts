/** .instance_info: what makes this instance itself across boots. The host keeps it; the guest sends it the next version. */
import { Fields } from './fields.ts';
import { HOST_SHARED } from './paths.ts';
import { parseStrictJsonBytes } from './strict-json.ts';

export interface InstanceInfo {
  /** 20 bytes, or empty before the first boot */
  readonly instanceIdSeed: Uint8Array;
  /** 20 bytes, or empty */
  readonly instanceId: Uint8Array;
  /** 20 bytes when the host names the app, or empty */
  readonly appId: Uint8Array;
}

/** Absent fields are empty. @throws JSON_INVALID, DOCUMENT_INVALID */
export function parseInstanceInfo(raw: Uint8Array, path: string = HOST_SHARED.instanceInfo): InstanceInfo {
  const fields = new Fields(parseStrictJsonBytes(raw, path), { path });
  return {
    instanceIdSeed: fields.hex('instance_id_seed'),
    instanceId: fields.hex('instance_id'),
    appId: fields.hex('app_id'),
  };
}

/** Compact JSON in the fixed key order: the payload of the host notification `instance.info`. */
export function formatInstanceInfo(info: InstanceInfo): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return JSON.stringify({
    instance_id_seed: hex(info.instanceIdSeed),
    instance_id: hex(info.instanceId),
    app_id: hex(info.appId),
  });
}
