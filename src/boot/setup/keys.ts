/** The keys of the app: obtained, bound to what the host was asked to start, measured and written. */
import { toHex } from '../../codec/hex.ts';
import { DISK_KEY_SIZE, formatAppKeys, providerId, wipeAppKeys } from '../../config/app-keys.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { peerTcbPolicy } from '../../config/peer-policy.ts';
import { DstackError } from '../../errors.ts';
import { effect, isDryRun } from '../../sys/effects.ts';
import { writeAtomic } from '../../sys/files.ts';
import { initScriptHashes, keyProviderPayload } from '../../tdx/event-payloads.ts';
import { EVENT } from '../../tdx/events.ts';
import { checkMrConfigId } from '../../tdx/mr-config.ts';
import { parseQuote } from '../../tdx/quote-layout.ts';
import * as ui from '../../ui.ts';
import { keyProviderFor } from '../providers/provider-of.ts';
import { rehearsedKeys } from '../providers/rehearsal.ts';
import { measure, measureText } from './measure-events.ts';
import { copyDir, need, type SetupContext } from './setup-context.ts';

/** Loads what `obtainKeys` will need. Which provider it is, is not known yet: all of them share this much. */
export async function loadKeyCode(): Promise<void> {
  await Promise.all([import('../providers/none.ts'), import('../../x509/x509.ts')]);
}

/** @throws whatever the provider throws, KEY_INVALID for a disk key of another length */
export async function obtainKeys(context: SetupContext): Promise<void> {
  const compose = need(context, 'compose');
  const sysConfig = need(context, 'sysConfig');
  const measured = (name: string, payload: Uint8Array) => measure(context, name, payload);
  const attest = (reportData: Uint8Array) => context.services.takeAttestation(reportData);
  const pause = (ms: number) => context.services.pause(ms);
  const note = (text: string) => {
    ui.info(text);
    context.notes.push(text);
  };
  const keys = isDryRun()
    ? await rehearsedKeys(compose, sysConfig, measured)
    : await (await keyProviderFor(compose)).obtain({
        ...{ sysConfig, attest, measure: measured, pause, note },
        peerTcb: peerTcbPolicy(await context.services.cmdline(), compose),
      });
  if (keys.diskCryptKey.length !== DISK_KEY_SIZE) {
    throw new DstackError('KEY_INVALID', `disk key has ${keys.diskCryptKey.length} bytes instead of ${DISK_KEY_SIZE}`, {
      field: 'disk_crypt_key',
    });
  }
  context.found.keys = keys;
}

/**
 * Compares what the VM was started for (MR_CONFIG_ID in a fresh quote) and what the app pins with what came out.
 * @throws MR_CONFIG_MISMATCH, KEY_PROVIDER_MISMATCH
 */
export async function checkKeyBinding(context: SetupContext): Promise<void> {
  const compose = need(context, 'compose');
  const instance = need(context, 'instance');
  const keys = need(context, 'keys');
  const id = providerId(keys);
  const mrConfigId = await effect('take a quote and compare its MR_CONFIG_ID', new Uint8Array(48), async () => {
    return parseQuote(await context.services.takeQuote(new Uint8Array(64))).body.mrConfigId;
  });
  checkMrConfigId(mrConfigId, {
    composeHash: compose.composeHash,
    gpuPolicyHash: compose.gpuPolicyHash,
    initScriptHashes: initScriptHashes(compose.initScripts),
    appId: instance.appId,
    instanceId: instance.instanceId,
    keyProvider: keys.keyProvider.kind,
    keyProviderId: id,
    document: need(context, 'sysConfig').mrConfig,
  });
  const pinned = compose.keyProviderId;
  if (pinned.length > 0 && toHex(pinned) !== toHex(id)) {
    throw new DstackError(
      'KEY_PROVIDER_MISMATCH',
      `key provider id is ${toHex(id) || 'empty'}, but app-compose.json pins ${toHex(pinned)}`,
      { path: HOST_SHARED.appCompose, field: 'key_provider_id', value: toHex(pinned) },
    );
  }
}

/** The key-provider event: which provider, and which one exactly. */
export async function measureKeyProvider(context: SetupContext): Promise<void> {
  const keys = need(context, 'keys');
  await measureText(context, EVENT.keyProvider, keyProviderPayload(keys.keyProvider.kind, providerId(keys)));
}

/**
 * .appkeys.json, readable by root only from its first byte. The disk is opened with the key in memory, and nobody reads
 * that key afterwards: the field is empty, not left out, because the reference's agent demands it.
 */
export async function writeKeys(context: SetupContext): Promise<void> {
  const withoutDiskKey = { ...need(context, 'keys'), diskCryptKey: new Uint8Array() };
  await writeAtomic(`${copyDir(context)}/${HOST_SHARED.appKeys}`, formatAppKeys(withoutDiskKey), 0o600);
}

/** Wipes every key setup still holds; the agent reads its own from the file. */
export function wipeKeys(context: SetupContext): void {
  if (context.found.keys !== undefined) wipeAppKeys(context.found.keys);
  delete context.found.keys;
}
