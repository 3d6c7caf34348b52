/** The data disk and the swap on it. */
import { toHex } from '../../codec/hex.ts';
import { formatInstanceInfo } from '../../config/instance-info.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { EVENT } from '../../tdx/events.ts';
import * as ui from '../../ui.ts';
import { measure, measureText } from './measure-events.ts';
import { need, type SetupContext } from './setup-context.ts';

/** Decides how the disk is kept, and measures it. @throws STORAGE_OPTION_INVALID */
export async function chooseStorage(context: SetupContext): Promise<void> {
  const storage = storageOptions(await context.services.cmdline(), need(context, 'compose'));
  context.found.storage = storage;
  await measureText(context, EVENT.storageFs, storage.fs);
  // a departure from the default that a verifier must be able to see
  if (!storage.encrypted) await measure(context, EVENT.storageUnencrypted, new Uint8Array());
}

/** Opens the data disk, making it first when it is blank. */
export async function openStorage(context: SetupContext): Promise<void> {
  const { fs, encrypted } = need(context, 'storage');
  const done = await context.services.openDataDisk({
    device: need(context, 'device'),
    mountPoint: context.options.mountPoint,
    fs,
    encrypted,
    key: need(context, 'keys').diskCryptKey,
    ephemeral: need(context, 'compose').keyProvider === 'none',
    onStep: (step) => context.host.progress(step),
  });
  ui.info(`data disk ${need(context, 'device')}: ${done.action}`);
}

/** Makes a new swap area, or only removes the old one for size 0. */
export async function openSwap(context: SetupContext): Promise<void> {
  const { swapSize } = need(context, 'compose');
  await context.services.setupSwap({
    fs: need(context, 'storage').fs,
    mountPoint: context.options.mountPoint,
    size: swapSize,
  });
}

/** The host keeps the identity for the next boot: it is the host that stores .instance_info. */
export async function reportInstance(context: SetupContext): Promise<void> {
  const instance = need(context, 'instance');
  context.host.send('instance.info', formatInstanceInfo(instance));
  ui.info(`app ${toHex(instance.appId)}, instance ${toHex(instance.instanceId) || 'none'}`);
}

/** The last event of the boot: what is measured after it does not count for the identity of the app. */
export async function measureReady(context: SetupContext): Promise<void> {
  await measure(context, EVENT.systemReady, new Uint8Array());
  context.host.progress('data disk ready');
}
