/** The documents of the host, read from the bytes that were copied, and the policy they state. */
import { checkFeatureGates, parseAppCompose } from '../../config/app-compose.ts';
import { parseInstanceInfo } from '../../config/instance-info.ts';
import { HOST_SHARED } from '../../config/paths.ts';
import { peerTcbPolicy } from '../../config/peer-policy.ts';
import { checkRequirements } from '../../config/requirements.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { parseSysConfig } from '../../config/sys-config.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import * as ui from '../../ui.ts';
import { locateHostApi, mountHostShare, unmountHostShare } from '../host-share.ts';
import { readPrepared } from '../prepare/prepared.ts';
import { keyProviderFor } from '../providers/provider-of.ts';
import { copyHostFiles } from './host-files.ts';
import { copyDir, need, type SetupContext } from './setup-context.ts';

/** Mounts the share, unless a folder was given. */
export async function openShare(context: SetupContext): Promise<void> {
  if (context.options.hostShared === undefined) await mountHostShare(context.options.shareMount, context.machine);
}

/** Copies the share; readers of this process tree are pointed at the copy. A failed copy leaves nothing mounted. */
export async function copyShare(context: SetupContext): Promise<void> {
  const { hostShared, shareMount } = context.options;
  try {
    context.found.hostFiles = await copyHostFiles(hostShared ?? shareMount, copyDir(context), (name, bytes) => {
      if (name === 'sysConfig') readSysConfig(context, bytes);
    });
  } catch (thrown) {
    await closeShare(context);
    throw thrown;
  }
  process.env['DSTACK_HOST_SHARED_DIR'] = copyDir(context);
}

/** Unmounts the share, unless a folder was given: nothing looks at it again. */
export async function closeShare(context: SetupContext): Promise<void> {
  const { hostShared, shareMount } = context.options;
  if (hostShared === undefined) await unmountHostShare(shareMount, context.machine);
}

/** The first document: with it the way to the host is open, and what waited for it is sent. */
function readSysConfig(context: SetupContext, bytes: Uint8Array): void {
  const sysConfig = parseSysConfig(bytes, HOST_SHARED.sysConfig);
  context.found.sysConfig = sysConfig;
  context.host.open(sysConfig.hostApiUrl);
}

/** app-compose.json and .instance_info; a missing .instance_info is a first boot. */
export async function readDocuments(context: SetupContext): Promise<void> {
  const files = need(context, 'hostFiles');
  const compose = parseAppCompose(files.appCompose ?? new Uint8Array(), HOST_SHARED.appCompose);
  context.found.compose = compose;
  const empty = { instanceIdSeed: new Uint8Array(), instanceId: new Uint8Array(), appId: new Uint8Array() };
  context.found.instance =
    files.instanceInfo === undefined || files.instanceInfo.length === 0
      ? empty
      : parseInstanceInfo(files.instanceInfo, HOST_SHARED.instanceInfo);
  ui.info(`app ${JSON.stringify(compose.name)}, runner ${compose.runner}, key provider ${compose.keyProvider}`);
}

/** Everything that can refuse this app is asked before the first event is measured, also what is needed only later. */
export async function checkPolicy(context: SetupContext): Promise<void> {
  const compose = need(context, 'compose');
  const { userConfig } = need(context, 'hostFiles');
  const { tdxAttestationVariant } = need(context, 'sysConfig').vm;
  checkFeatureGates(compose);
  checkRequirements(compose, {
    osVersion: await context.services.osVersion(),
    platform: await variant(context),
    ...(tdxAttestationVariant === undefined ? {} : { tdxVariant: tdxAttestationVariant }),
    ...(userConfig === undefined ? {} : { userConfig }),
  });
  const provider = await keyProviderFor(compose);
  await provider.check?.({ sysConfig: need(context, 'sysConfig'), root: context.machine.root });
  const cmdline = await context.services.cmdline();
  storageOptions(cmdline, compose);
  const peers = peerTcbPolicy(cmdline, compose);
  if (peers !== undefined) context.notes.push(`KMS and gateway must prove a platform that is ${peers.join(' or ')}`);
}

/** A dry run judges the documents, so it also works on a desk: there the variant is what this version serves. */
async function variant(context: SetupContext): Promise<string> {
  try {
    return (await context.services.detectTee()).variant;
  } catch (thrown) {
    if (!isDryRun()) throw thrown;
    ui.warn(`${errorChain(thrown)}: a real run would fail here`);
    return 'dstack-tdx';
  }
}

/** The data device: given by hand, else what `prepare` chose. Also sends the host the phases of `prepare`. */
export async function adoptPrepared(context: SetupContext): Promise<void> {
  const prepared = await readPrepared(context.options.preparedFile);
  for (const phase of prepared?.phases ?? []) context.host.send('boot.phase', JSON.stringify(phase));
  const device = context.options.device ?? prepared?.device;
  if (device === undefined) {
    throw new DstackError('DISK_NOT_FOUND', 'no data device is given and `prepare` has not chosen one', {
      path: context.options.preparedFile,
      hint: 'run `dstack-util prepare` first, or name the disk with --device',
    });
  }
  context.found.device = device;
}

/** For failures that come before .sys-config.json could be read. */
export const locateHost = (context: SetupContext): Promise<string | undefined> =>
  locateHostApi(context.machine, context.options.hostShared ?? context.options.shareMount);
