/**
 * Keys from a KMS: the first boot makes a pool, the next one opens it again, a KMS that refuses stops the boot before
 * the disk. The kernel records arguments and environment of every program during the whole boot; no secret may be there,
 * in the journal, on the console or in what the host is told. The pool outlives a boot here, so this is also where a
 * container with a restart policy meets the next boot.
 */
import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { agentCall, readMeasurements } from '../../initramfs/vm/checks.ts';
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { fingerprint } from '../../initramfs/vm/disk.ts';
import { startVmKms, type VmKms } from '../../initramfs/vm/kms.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { defaultAppId } from '../../initramfs/vm/share.ts';
import { envCryptKey, issueKeys } from '../../simulator/kms/derive.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { envPublicKey, sealEnvBlob } from '../../src/config/env-cipher.ts';
import { readExecTrace, START_EXEC_TRACE } from './exec-trace.ts';
import { type BootOptions, boot, fails, NOTHING_STARTED, payloads, THAWED, vmDir } from './support.ts';
import { overtaken, ran, startDockerPlainly, WITNESS_APP } from './witness.ts';

const APP = { key_provider: 'kms', allowed_envs: ['PLANTED'], storage_fs: 'zfs', ...WITNESS_APP };
const appId = defaultAppId(demoAppComposeText(APP));
/** what must be seen nowhere */
const planted = `planted-${randomBytes(12).toString('hex')}`;
/** who may have keys: changed by the tests */
const allowed = new Set([appId]);
const KEYS = '/dstack/.host-shared/.appkeys.json';
const MARKER = '/var/volatile/dstack/persistent/marker';
const DISK = `${vmDir('kms')}/data.img`;
/** Whether docker overtakes the others is a question of two processors. */
const RACING: BootOptions = { ...THAWED, cpus: 2 };

let kms: VmKms;
let instanceId = '';
let keyFile = '';

async function start(
  dataDisk: 'blank' | 'keep',
  { before = '', units = '', from = RACING }: { before?: string; units?: string; from?: BootOptions } = {},
): Promise<Machine> {
  const env = JSON.stringify({ env: [{ key: 'PLANTED', value: planted }] });
  const publicKey = envPublicKey(envCryptKey(kms.roots, fromHex(appId)));
  const vm = await boot('kms', {
    ...from,
    zfs: true,
    share: { 'app-compose.json': demoAppComposeText(APP), '.encrypted-env': sealEnvBlob(Buffer.from(env), publicKey) },
    dataDisk,
    dataDiskSize: 512 * 1024 * 1024,
    services: kms.services,
    sysConfig: kms.sysConfig,
    rememberInstance: true,
    guestPorts: [8090],
  });
  // the units of the real boot up to the data disk; what belongs to containers only when it is asked for
  const go = `systemctl start --no-block systemd-networkd.service dstack-prepare.service ${units}`;
  await vm.ok(`${before}\n${go}`, { timeoutMs: 240_000 });
  return vm;
}

/** What the KMS derives for the disk of this instance, hex. */
const diskKey = () => toHex(issueKeys(kms.roots, fromHex(appId), fromHex(instanceId)).diskCryptKey);

/** A text from the guest, packed for the way. */
const fetchText = async (vm: Machine, command: string): Promise<string> => {
  const packed = await vm.ok(`${command} | gzip -1 | base64 -w0`, { timeoutMs: 240_000 });
  return gunzipSync(Buffer.from(packed, 'base64')).toString('latin1');
};

beforeAll(async () => {
  // keys only for guests whose evidence shows this image: what the simulated device shows is computed from the same folder
  const { folder } = await ensureDevImage({ zfs: true });
  kms = await startVmKms({ policy: { apps: allowed, composeHashes: new Set() }, verifyImage: folder });
});
afterAll(() => kms?.close());

describe.sequential('the first boot with a KMS', () => {
  let vm: Machine;
  beforeAll(async () => {
    vm = await start('blank', { before: START_EXEC_TRACE });
    await vm.waitFor({ event: 'boot.progress', payload: 'data disk ready' }, 840_000);
    await vm.ok('systemctl start dstack-guest-agent.service', { timeoutMs: 300_000 });
  });
  afterAll(() => vm?.stop());

  it('gets its keys, makes the volume, and measures who gave them', async () => {
    expect(payloads(vm, 'boot.error')).toEqual([]);
    expect(payloads(vm, 'boot.progress')).toContain('initializing data disk');
    const measured = await readMeasurements(vm);
    expect(measured.replayed).toBe(measured.rtmr3);
    expect(measured.events).toEqual([
      'system-preparing',
      'app-id',
      'compose-hash',
      'gpu-policy-hash',
      'instance-id',
      'boot-mr-done',
      'os-image-hash',
      'key-provider',
      'storage-fs',
      'system-ready',
    ]);
    instanceId = measured.instanceId;
    const info = await agentCall<{ key_provider_info: string }>(vm, 'Info');
    expect(JSON.parse(info.key_provider_info)).toEqual({ name: 'kms', id: toHex(kms.roots.ca.key.spkiDer) });
  });

  it('has the keys that the KMS derives for this instance, readable by root only', async () => {
    const issued = issueKeys(kms.roots, fromHex(appId), fromHex(instanceId));
    keyFile = await vm.ok(`cat ${KEYS}`);
    expect(JSON.parse(keyFile)).toMatchObject({
      disk_crypt_key: '', // the disk is open: nobody needs it any more
      env_crypt_key: toHex(issued.envCryptKey),
      k256_key: toHex(issued.k256Key),
    });
    expect(await vm.ok(`stat -c %a ${KEYS} /dstack/.host-shared/.decrypted-env`)).toBe('600\n600');
    expect(await vm.ok('cat /dstack/.host-shared/.decrypted-env')).toBe(`PLANTED=${planted}`);
    const { signature_chain } = await agentCall<{ signature_chain: string[] }>(vm, 'GetKey', { path: 'p' });
    expect(signature_chain[1]).toBe(toHex(issued.k256Signature));
    const tls = { subject: 'service', usage_server_auth: true };
    const { certificate_chain } = await agentCall<{ certificate_chain: string[] }>(vm, 'GetTlsKey', tls);
    expect(certificate_chain).toHaveLength(3);
    expect(certificate_chain[2]).toBe(kms.roots.ca.certificate);
    await vm.ok(`echo kept >${MARKER}; sync`);
  });

  it('leaves no secret in argv, environment, journal, console, timeline or on the host', async () => {
    const places = {
      programs: await readExecTrace(vm),
      // those that ran before the recording began
      processes: await fetchText(vm, 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null'),
      journal: await fetchText(vm, 'journalctl -b --no-pager -o export'),
      timeline: await fetchText(vm, 'cat /run/log/dstack/*'),
      console: vm.console.text,
      host: JSON.stringify(vm.events),
    };
    // the recording has seen the boot, and the journal is that of the boot
    // (the kernel leaves out a string whose page is not in memory, so no single argument is asked for)
    for (const name of ['"setup"', '/cryptsetup"', '/zpool"']) expect(places.programs).toContain(name);
    expect(places.processes).toContain('dstack-guest-agent\0');
    expect(places.journal).toContain('get the app keys ... done');
    const { env_crypt_key, k256_key } = JSON.parse(keyFile);
    const secrets: Record<string, string> = { planted, disk_crypt_key: diskKey(), env_crypt_key, k256_key };
    for (const [place, text] of Object.entries(places)) {
      for (const [name, secret] of Object.entries(secrets)) {
        for (const form of [secret, Buffer.from(secret, name === 'planted' ? 'utf8' : 'hex').toString('base64')]) {
          expect(text.includes(form), `${name} in ${place}`).toBe(false);
        }
      }
    }
  });

  it('gives the same keys to get-keys, and a code for each way in which there are none', async () => {
    const getKeys = 'dstack-util get-keys -k https://10.0.2.101';
    await vm.ok(`${getKeys} -o /run/keys.json`, { timeoutMs: 120_000 });
    expect(await vm.ok('stat -c %a /run/keys.json')).toBe('600');
    const { disk_crypt_key } = JSON.parse(await vm.ok('cat /run/keys.json; rm /run/keys.json'));
    expect(disk_crypt_key).toBe(diskKey());
    allowed.clear();
    const refused = await fails(vm, getKeys, 'KMS_REFUSED', 120_000);
    expect(refused).toContain('nothing is allowed here');
    allowed.add(appId);
    await fails(vm, 'dstack-util get-keys -k https://10.0.2.77', 'KMS_UNREACHABLE', 120_000);
  });

  it('believes no KMS while the clock is before the image, and again when it is right', async () => {
    const [seconds = ''] = (await vm.ok('date +%s')).split('\n');
    await vm.ok('date -s @946684800');
    await fails(vm, 'dstack-util get-keys -k https://10.0.2.101', 'CLOCK_BEHIND', 120_000);
    await vm.ok(`date -s @${Number(seconds) + 60}`);
    await vm.ok('dstack-util get-keys -k https://10.0.2.101 -o /run/keys.json && rm /run/keys.json', {
      timeoutMs: 120_000,
    });
  });

  it('runs the container too early where docker starts as its package has it', async () => {
    await vm.ok('systemctl start app-compose.service', { timeoutMs: 300_000 });
    await ran(vm);
    const witness = await ran(vm, await startDockerPlainly(vm));
    expect(await overtaken(vm, witness)).toEqual(['the guest agent', 'the pre-launch script']);
  });

  it('powers off cleanly', async () => {
    expect(await vm.stop()).toBe('clean');
  });
});

describe.sequential('the next boot', () => {
  let vm: Machine;
  beforeAll(async () => {
    vm = await start('keep', { units: 'app-compose.service', from: { kernelArgs: NOTHING_STARTED } });
    await vm.waitFor({ event: 'boot.progress', payload: 'data disk ready' }, 840_000);
  });
  afterAll(() => vm?.kill().then(() => vm.stop()));

  it('is the same instance with the same data', async () => {
    expect(payloads(vm, 'boot.progress')).toContain('mounting data disk');
    expect(payloads(vm, 'boot.progress')).not.toContain('initializing data disk');
    expect(await vm.ok(`cat ${MARKER}`)).toBe('kept');
    // the power-off before has exported the pool
    expect(await vm.ok('journalctl -b --no-pager')).not.toContain('with force');
    const [info] = payloads(vm, 'instance.info').map((text) => JSON.parse(text));
    expect(info.instance_id).toBe(instanceId);
  });

  it('does not let the container of the last boot run before measurements, agent and pre-launch script', async () => {
    await vm.waitFor({ event: 'boot.progress', payload: 'done' }, 600_000);
    const witness = await ran(vm);
    // dockerd ran already when the script looked
    expect(witness.running).toBe('');
    expect(witness.times).toHaveLength(1);
    expect(await overtaken(vm, witness)).toEqual([]);
    expect(witness.policy).toBe('always');
  });
});

describe.sequential('a boot that the KMS refuses', () => {
  let vm: Machine;
  let before = '';
  beforeAll(async () => {
    before = await fingerprint(DISK);
    allowed.clear();
    vm = await start('keep');
  });
  afterAll(() => vm?.kill().then(() => vm.stop()));

  it('says who refused what, and has not touched the disk', async () => {
    const { payload } = await vm.waitFor({ event: 'boot.error' }, 840_000);
    expect(payload).toContain('failed to get app keys from KMS');
    expect(payload).toContain('[KMS_REFUSED]');
    expect(payloads(vm, 'boot.error')).toHaveLength(1);
    expect(payloads(vm, 'instance.info')).toEqual([]);
    expect(await vm.sh(`test -e ${KEYS} -o -e /var/volatile${KEYS}`)).toMatchObject({ exit: 1 });
    expect(await vm.ok('ls /dev/mapper')).not.toContain('dstack_data_disk');
    expect(await fingerprint(DISK)).toBe(before);
  });
});
