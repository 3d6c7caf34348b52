/**
 * .sys-config.json: what the host tells the guest about its surroundings. Nothing in it is trusted by itself.
 * Source: dstack formats, sys-config.
 */
import { DstackError } from '../errors.ts';
import { Fields } from './fields.ts';
import { HOST_SHARED } from './paths.ts';
import { parseStrictJson, parseStrictJsonBytes } from './strict-json.ts';
import { parseVmConfig, type VmConfig } from './vm-config.ts';

export interface SysConfig {
  readonly kmsUrls: readonly string[];
  readonly gatewayUrls: readonly string[];
  /** effective: collateral_urls.pccs, else the legacy pccs_url */
  readonly pccsUrl?: string;
  readonly collateralUrls: { readonly pccs?: string; readonly amdKds?: string };
  readonly nvidiaAttestationProxyUrl?: string;
  readonly hostApiUrl?: string;
  readonly dockerRegistry?: string;
  /** effective MrConfigV3 document text; its raw bytes are what is hashed */
  readonly mrConfig?: string;
  /** raw text: this is what travels to the KMS and into quotes, never a re-serialisation */
  readonly vmConfig: string;
  readonly vm: VmConfig;
}

/** Reads .sys-config.json. @throws JSON_INVALID, DOCUMENT_INVALID naming path and field */
export function parseSysConfig(raw: Uint8Array, path: string = HOST_SHARED.sysConfig): SysConfig {
  const fields = new Fields(parseStrictJsonBytes(raw, path), { path });
  const collateral = fields.object('collateral_urls');
  collateral?.denyUnknown(['pccs', 'amd_kds']);
  const collateralUrls = {
    ...text('pccs', collateral?.optionalString('pccs')),
    ...text('amdKds', collateral?.optionalString('amd_kds')),
  };
  const vmConfig = fields.string('vm_config');
  const vm = parseVmText(vmConfig, path);
  return {
    kmsUrls: fields.strings('kms_urls'),
    gatewayUrls: gatewayUrls(fields),
    ...text('pccsUrl', collateralUrls.pccs ?? fields.optionalString('pccs_url')),
    collateralUrls,
    ...text('nvidiaAttestationProxyUrl', fields.optionalString('nvidia_attestation_proxy_url')),
    ...text('hostApiUrl', fields.optionalString('host_api_url')),
    ...text('dockerRegistry', fields.optionalString('docker_registry')),
    ...text('mrConfig', fields.optionalString('mr_config') || vm.mrConfig),
    vmConfig,
    vm,
  };
}

/** A property for non-empty text only: the host writes "" for what is not configured. */
function text<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { [P in K]?: string });
}

function gatewayUrls(fields: Fields): readonly string[] {
  if (fields.has('gateway_urls') && fields.has('tproxy_urls')) {
    fields.fail('gateway_urls', 'is given twice: tproxy_urls is its old name');
  }
  return fields.strings(fields.has('tproxy_urls') ? 'tproxy_urls' : 'gateway_urls');
}

function parseVmText(vmConfig: string, path: string): VmConfig {
  try {
    return parseVmConfig(new Fields(parseStrictJson(vmConfig, path), { path }, 'vm_config'));
  } catch (thrown) {
    if (!(thrown instanceof DstackError) || thrown.code !== 'JSON_INVALID') throw thrown;
    throw new DstackError('DOCUMENT_INVALID', 'field vm_config does not hold a JSON document as text', {
      path,
      field: 'vm_config',
      cause: thrown,
    });
  }
}
