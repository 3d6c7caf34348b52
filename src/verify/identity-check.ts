/** Who the guest is, as the measured events and vm_config tell it, and whether the host bound it to that. */
import { EMPTY_BYTES } from '../codec/bytes.ts';
import { fromHex, toHex } from '../codec/hex.ts';
import { lenientUtf8 } from '../codec/text.ts';
import type { KeyProviderKind } from '../config/app-compose.ts';
import { sha256 } from '../crypto/hash.ts';
import { errorChain } from '../errors.ts';
import { type AppInfo, decodeAppInfo } from '../tdx/app-identity.ts';
import { bootEvents, EVENT } from '../tdx/events.ts';
import { checkMrConfigId } from '../tdx/mr-config.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { type Check, fail, note, pass } from './check.ts';
import type { Evidence } from './evidence-forms.ts';
import type { PckPlatform } from './pck.ts';

export interface Identity {
  readonly info: AppInfo;
  /** `none`, `local-sgx`, `tpm`, `kms`; undefined before the key provider is measured */
  readonly keyProvider?: { readonly name: string; readonly id: string };
}

const KINDS: Readonly<Record<string, KeyProviderKind>> = { none: 'none', 'local-sgx': 'local', tpm: 'tpm', kms: 'kms' };

/** Decodes the identity. The device id needs the platform of a genuine quote. Without an event log there is none. */
export function decodeIdentity(
  evidence: Evidence,
  platform: PckPlatform | undefined,
): { checks: Check[]; identity?: Identity } {
  const { quote, runtimeEvents } = evidence;
  if (quote === undefined || runtimeEvents === undefined) return { checks: [] };
  try {
    const info = decodeAppInfo({
      platform: { kind: 'tdx', quote, eventLog: evidence.eventLog ?? [] },
      reportData: new Uint8Array(64),
      runtimeEvents,
      config: evidence.config,
    });
    const keyProvider = keyProviderOf(info.keyProviderInfo);
    const identity = {
      info: { ...info, deviceId: sha256(platform?.ppid ?? EMPTY_BYTES) },
      ...(keyProvider ? { keyProvider } : {}),
    };
    return { checks: [], identity };
  } catch (thrown) {
    return { checks: [fail('identity', errorChain(thrown))] };
  }
}

function keyProviderOf(bytes: Uint8Array): Identity['keyProvider'] {
  if (bytes.length === 0) return undefined;
  const value = JSON.parse(lenientUtf8(bytes)) as { name?: unknown; id?: unknown } | null;
  const { name, id } = value ?? {};
  return { name: String(name), id: String(id) };
}

/** MR_CONFIG_ID against the identity, as far as this evidence can tell. */
export function checkMrConfig(body: TdQuoteBody, evidence: Evidence, { info, keyProvider }: Identity): Check {
  const name = 'mr-config';
  const [version = 0] = body.mrConfigId;
  if (body.mrConfigId.every((byte) => byte === 0)) return note(name, 'the host bound nothing to this VM');
  const document = documentOf(evidence.config);
  if (version >= 2 && keyProvider === undefined) return note(name, 'the boot had not come to its key provider');
  if (version === 3 && document === undefined)
    return note(name, `bound to a document not given here: ${toHex(body.mrConfigId)}`);
  try {
    checkMrConfigId(body.mrConfigId, {
      composeHash: info.composeHash,
      appId: info.appId,
      instanceId: info.instanceId,
      gpuPolicyHash:
        bootEvents(evidence.runtimeEvents ?? []).find(({ event }) => event === EVENT.gpuPolicyHash)?.payload ??
        new Uint8Array(),
      initScriptHashes: info.initScriptHashes,
      keyProvider: KINDS[keyProvider?.name ?? 'none'] ?? 'none',
      keyProviderId: fromHex(keyProvider?.id ?? ''),
      document,
    });
    return pass(name, `version ${version} binds this VM to this app`);
  } catch (thrown) {
    return fail(name, errorChain(thrown));
  }
}

function documentOf(config: string): string | undefined {
  try {
    const document = (JSON.parse(config) as { mr_config?: unknown } | null)?.mr_config;
    return typeof document === 'string' && document !== '' ? document : undefined;
  } catch {
    return undefined;
  }
}
