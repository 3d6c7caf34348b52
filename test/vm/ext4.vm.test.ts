/** The complete way: from the kernel to an app that has its keys, on an encrypted ext4 volume; twice on one disk. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DstackClient, TappdClient } from '@phala/dstack-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_PORT, demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { agentCall, askDemo, measureWithTools, readMeasurements, replays } from '../../initramfs/vm/checks.ts';
import { hostVerifier, prove } from '../../initramfs/vm/host-verifier.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { defaultAppId } from '../../initramfs/vm/share.ts';
import { toHex } from '../../src/codec/hex.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { getKey } from '../../src/keys/get-key.ts';
import { methodsOf, noting } from '../conformance/sdk-surface.ts';
import { FLIPS, flippedFolder } from './flipped-folder.ts';
import { checkGuestApi, checkPublicPort, lookAtPage } from './public-port.ts';
import { checkRecorded } from './recorded.ts';
import { agentAttacked, dockerViewed } from './sandbox.ts';
import { relay } from './sdk-relay.ts';
import { boot, payloads, vmDir } from './support.ts';
import { verifyMockQuote } from './verify-quote.ts';

interface KeyAnswer {
  key: string;
  signature_chain: string[];
}

/** what the app of this test has beside the demo's */
const APP = {
  swap_size: '64M',
  agent_sockets: [{ name: 'web', allow: ['GetKey', 'Version'], key_prefix: 'web/' }],
};

/** refused by the SDK itself; and half a second is its limit, which the way into the VM alone may take */
const NOT_IN_VM = ['deriveKey', 'isReachable'];

let instanceId = '';

describe.sequential('ext4', () => {
  let vm: Machine;
  beforeAll(async () => {
    vm = await boot('ext4', { app: APP });
    await vm.waitFor({ event: 'boot.progress', payload: 'done' }, 840_000);
  });
  afterAll(() => vm?.stop());

  const appId = defaultAppId(demoAppComposeText(APP));

  it('reports its progress in the documented order', () => {
    const [info] = payloads(vm, 'instance.info').map((text) => JSON.parse(text));
    instanceId = info.instance_id; // first: what follows needs it, whatever happens here
    // how far the containers are depends on how fast they start
    const steps = payloads(vm, 'boot.progress').filter((text) => !text.startsWith('starting containers: '));
    expect(steps).toEqual([
      'requesting app keys',
      'initializing data disk',
      'data disk ready',
      'setting up dstack-gateway',
      'setting up docker',
      'pre-launch',
      'starting containers',
      'done',
    ]);
    expect(payloads(vm, 'boot.error')).toEqual([]);
    expect(Object.keys(info)).toEqual(['instance_id_seed', 'instance_id', 'app_id']);
    expect(info.app_id).toBe(appId);
  });

  it('measures the documented events, and they replay to RTMR3', async () => {
    const measured = await readMeasurements(vm);
    expect(measured.events).toEqual([
      'system-preparing',
      'app-id',
      'compose-hash',
      'gpu-policy-hash',
      'instance-id',
      'boot-mr-done',
      'key-provider',
      'storage-fs',
      'system-ready',
    ]);
    expect(measured.replayed).toBe(measured.rtmr3);
    expect(measured.appId).toBe(appId);
    expect(measured.instanceId).toBe(instanceId);
  });

  it('measured what was predicted, and dstack-util says so on the host', async () => {
    const host = await hostVerifier(join(vmDir('ext4'), 'host'));
    const predicted = await host.measure(demoAppComposeText(APP), instanceId);
    expect(predicted).toMatchObject({ app_id: appId, rtmr3: (await readMeasurements(vm)).rtmr3 });
    const reportData = randomBytes(64).toString('hex');
    const answer = JSON.stringify(await agentCall(vm, 'GetQuote', { report_data: reportData }));
    const pins = ['--expect', `app-id=${appId},instance-id=${instanceId},report-data=${reportData}`];
    expect(await host.verify(answer, pins)).toMatchObject({ verdict: 'valid' });
    expect(await host.verify(answer, ['--expect', 'report-data=00'])).toMatchObject({ verdict: 'invalid' });
    const request = { subject: 'test', usage_ra_tls: true, usage_server_auth: true };
    const tls = await agentCall<{ certificate_chain: string[] }>(vm, 'GetTlsKey', request);
    expect(await host.verify(tls.certificate_chain.join(''))).toMatchObject({ verdict: 'valid' });
    const raw = await vm.ok('head -c 64 /dev/zero | dstack-util quote | base64 -w0');
    const log = join(vmDir('ext4'), 'host/event-log.json');
    writeFileSync(log, await vm.ok('dstack-util eventlog'));
    expect(await host.verify(Buffer.from(raw, 'base64'), ['--event-log', log])).toMatchObject({ verdict: 'valid' });
  });

  it('is proven from the image folder alone; a folder with one other byte is not, and its part is named', async () => {
    const { folder = '' } = vm.options.image;
    const dir = join(vmDir('ext4'), 'host-system');
    const host = await hostVerifier(dir);
    const quote = (reportData: string) => agentCall(vm, 'GetQuote', { report_data: reportData });
    const started = { folder, appCompose: demoAppComposeText(APP), instanceId };
    expect(await prove(host, started, quote)).toEqual({ system: true, app: true, why: [] });
    const file = await host.init(started.appCompose, folder);
    const nonce = randomBytes(64).toString('hex');
    const fresh = JSON.stringify(await quote(nonce));
    const proven = { state: 'proven' };
    expect(await host.verify(fresh, [...file, '--expect', `report-data=${nonce}`])).toMatchObject({
      verdict: 'valid',
      proof: { machine: proven, system: proven, app: proven, fresh: proven },
    });
    const answer = JSON.stringify(await quote('00'));
    for (const { file, drift } of FLIPS) {
      const other = flippedFolder(folder, join(dir, 'flipped'), file);
      const report = await host.verify(answer, ['--image', other]);
      expect(report, file).toMatchObject({ verdict: 'invalid', system: { verdict: 'refused', first_drift: drift } });
    }
  });

  it('starts the app, which has keys and quotes', async () => {
    const first = await askDemo(vm, DEMO_PORT);
    expect(first).toMatchObject({ app_id: appId, instance_id: instanceId, quote_contains_report_data: true });
    const second = await askDemo(vm, DEMO_PORT);
    expect(second.public_key).toBe(first.public_key);
    expect(second.report_data).not.toBe(first.report_data);
  });

  it('answers GetKey over the socket as derive-key does, every time the same', async () => {
    const path = 'test/vm';
    const answer = await agentCall<KeyAnswer>(vm, 'GetKey', { path, purpose: 'p' });
    expect(answer.key).toMatch(/^[0-9a-f]{64}$/);
    expect(await agentCall<KeyAnswer>(vm, 'GetKey', { path, purpose: 'p' })).toEqual(answer);
    const derived = JSON.parse(await vm.ok(`dstack-util derive-key --path ${path} --purpose p --json`));
    expect(derived).toMatchObject(answer);
    expect((await agentCall<KeyAnswer>(vm, 'GetKey', { path: 'test/other', purpose: 'p' })).key).not.toBe(answer.key);
    // and as noble on this machine: in the image the library of Debian has signed
    const keys = parseAppKeys(Buffer.from(await vm.ok('cat /dstack/.host-shared/.appkeys.json')), '.appkeys.json');
    const { key, signatureChain } = await getKey(keys, path, 'p', '');
    expect([toHex(key), ...signatureChain.map(toHex)]).toEqual([answer.key, ...answer.signature_chain]);
    await vm.ok('grep -q libsecp256k1 /proc/$(systemctl show -P MainPID dstack-guest-agent)/maps');
  });

  it('gives quotes that standard verification accepts, over the socket and on the command line', async () => {
    const reportData = randomBytes(64);
    const { quote } = await agentCall<{ quote: string }>(vm, 'GetQuote', { report_data: reportData.toString('hex') });
    const report = verifyMockQuote(Buffer.from(quote, 'hex'));
    expect(Buffer.from(report.reportData).equals(reportData)).toBe(true);
    const base64 = await vm.ok('head -c 64 /dev/zero | dstack-util quote | base64 -w0');
    const other = verifyMockQuote(Buffer.from(base64, 'base64'));
    expect(Buffer.from(other.rtMr3).equals(Buffer.from(report.rtMr3))).toBe(true);
  });

  it('gives the scoped socket keys below its prefix and nothing else', async () => {
    const call = (method: string, body: object) =>
      vm.ok(
        `curl -sS --max-time 30 --unix-socket /run/dstack/scoped/web.sock -H 'content-type: application/json' ` +
          `-d '${JSON.stringify(body)}' http://dstack/${method}`,
      );
    const scoped = JSON.parse(await call('GetKey', { path: 'a' }));
    expect(scoped.key).toBe((await agentCall<KeyAnswer>(vm, 'GetKey', { path: 'web/a' })).key);
    expect(JSON.parse(await call('GetQuote', {})).error).toContain('agent_sockets[0].allow');
  });

  it('serves the official SDK', async () => {
    const { url, stop } = await relay(vm, '/run/dstack.sock');
    try {
      const called = new Set<string>();
      const client = noting(new DstackClient(url), called);
      const info = await client.info();
      expect(info).toMatchObject({ app_id: appId, instance_id: instanceId });
      const { quote, event_log } = await client.getQuote('from the SDK');
      const report = verifyMockQuote(Buffer.from(quote.replace(/^0x/, ''), 'hex'));
      expect(Buffer.from(report.reportData).toString('latin1')).toMatch(/^from the SDK\0+$/);
      expect(JSON.parse(event_log).length).toBeGreaterThan(5);
      const { certificate_chain } = await client.getTlsKey({ subject: 'sdk', usageRaTls: true });
      expect(certificate_chain).toHaveLength(2);
      const signed = await client.sign('ed25519', 'x');
      expect(await client.verify('ed25519', 'x', signed.signature, signed.public_key)).toMatchObject({ valid: true });
      expect((await client.attest('x')).attestation).toMatch(/^[0-9a-f]+$/);
      const { key } = await client.getKey('sdk', 'p');
      expect(Buffer.from(key).toString('hex')).toBe((await agentCall<KeyAnswer>(vm, 'GetKey', { path: 'sdk' })).key);
      expect(await client.version()).toMatchObject({ rev: expect.any(String) });
      await client.emitEvent('from-the-sdk', 'x');
      const measured = await measureWithTools(vm, { app_id: appId, instance_id: instanceId });
      expect([measured.events.at(-1), measured.replayed]).toEqual(['from-the-sdk', measured.rtmr3]);
      expect((await client.tdxQuote('x', 'raw')).quote).toHaveLength(quote.length);
      expect(methodsOf(DstackClient).filter((name) => !called.has(name))).toEqual(NOT_IN_VM);
    } finally {
      stop();
    }
  });

  it('serves the older client of the SDK', async () => {
    const { url, stop } = await relay(vm, '/run/tappd.sock');
    const warned = vi.spyOn(console, 'warn').mockReturnValue(); // it says that it is deprecated
    try {
      const called = new Set<string>();
      const client = noting(new TappdClient(url), called);
      expect((await client.deriveKey('path', 'subject')).certificate_chain).toHaveLength(2);
      const { quote } = await client.tdxQuote('raw', 'raw');
      const { reportData } = verifyMockQuote(Buffer.from(quote.replace(/^0x/, ''), 'hex'));
      expect(Buffer.from(reportData).toString('latin1')).toMatch(/^\0+raw$/); // as this client pads it
      expect(methodsOf(TappdClient).filter((name) => !called.has(name))).toEqual(['isReachable']);
    } finally {
      warned.mockRestore();
      stop();
    }
  });

  it('answers the host on vsock, tried over the loopback of the guest', async () => {
    await vm.ok('modprobe vsock_loopback');
    // GuestApi has no Notify: that refusal has come over AF_VSOCK from the agent
    expect((await vm.sh('dstack-util notify-host -u vsock://1:8000/api -e x -d y')).stderr).toContain(
      'Service not found: Notify',
    );
    const ready = (await vm.get('/readyz')).json<{ listeners: { name: string; state: string; address: string }[] }>();
    expect(ready.listeners).toContainEqual(
      expect.objectContaining({ name: 'guest-api', state: 'listening', address: 'vsock:any:8000' }),
    );
  });

  it('means the same to every recorded client, over inherited sockets and vsock', async () => {
    const [info] = payloads(vm, 'instance.info').map((text) => JSON.parse(text));
    await checkRecorded(vm, { appId, instanceId: info.instance_id, composeText: demoAppComposeText(APP) });
  }, 600_000);

  it('answers the old clients on tappd.sock', async () => {
    const call = (path: string) =>
      `curl -sS --max-time 30 --unix-socket /run/tappd.sock -d '{}' 'http://dstack${path}'`;
    for (const path of ['/prpc/Tappd.Info?json', '/prpc/Info?json']) {
      expect(JSON.parse(await vm.ok(call(path)))).toMatchObject({ app_id: appId });
    }
  });

  it('serves its public port', async () => {
    expect((await vm.get('/prpc/Worker.Version')).json()).toHaveProperty('version');
    await checkPublicPort(vm, appId);
    await lookAtPage(vm);
  });

  it('tells the host over vsock what its own tools say', async () => {
    expect(await checkGuestApi(vm)).toBe(true);
  });

  it(
    'asks docker through a view that shows containers and nothing else',
    () => dockerViewed(vm, 'dstack-demo-1'),
    500_000,
  );

  it('leaves the agent no way to become root of the machine', () => agentAttacked(vm), 500_000);

  it('keeps files with keys off the swap', async () => {
    for (const path of ['/dstack/.host-shared/.appkeys.json', '/run/dstack', '/etc/wireguard'])
      expect(await vm.ok(`findmnt -no OPTIONS -T ${path}`), path).toMatch(/noswap|upperdir=\/var\/volatile\//);
    expect(await vm.ok('findmnt -no OPTIONS /var/volatile')).toContain('noswap');
    const control = '/sys/fs/cgroup/system.slice/dstack-guest-agent.service/memory.swap.max';
    expect(await vm.ok(`cat ${control}`)).toBe('0');
    expect(JSON.parse(await vm.ok('cat /dstack/.host-shared/.appkeys.json')).disk_crypt_key).toBe('');
  });

  it('encrypts the data disk and swaps on it', async () => {
    expect(await vm.ok('findmnt -no FSTYPE,SOURCE /var/volatile/dstack/persistent')).toMatch(
      /^ext4\s+\/dev\/mapper\/dstack_data_disk/,
    );
    expect(await vm.ok('lsblk -no TYPE /dev/mapper/dstack_data_disk')).toContain('crypt');
    expect(await vm.ok('swapon --show=SIZE --noheadings')).toContain('64M');
    await vm.ok('echo from the first boot >/var/volatile/dstack/persistent/marker; sync');
  });

  it('keeps its sockets when the agent dies, also for containers', async () => {
    const state =
      'systemctl show -P MainPID dstack-guest-agent; stat -Lc %i /run/dstack.sock /run/dstack/scoped/web.sock';
    const before = await vm.ok(state);
    // as a container holds the file of its scoped socket; the agent made that one, and systemd keeps it
    await vm.ok('touch /run/mounted.sock; mount --bind /run/dstack/scoped/web.sock /run/mounted.sock');
    const scoped = 'curl -sS --max-time 120 --unix-socket /run/mounted.sock http://dstack/GetKey?path=a';
    const key = await vm.ok(scoped);
    await vm.ok('systemctl kill -s KILL dstack-guest-agent');
    // asked while nobody is there to answer
    expect(await vm.ok(scoped, { timeoutMs: 150_000 })).toBe(key);
    // asked while the agent is down: the socket queues the request
    expect(await agentCall(vm, 'Info')).toMatchObject({ app_id: appId });
    const after = await vm.ok(state);
    expect(after.split('\n')[0]).not.toBe(before.split('\n')[0]);
    expect(after.split('\n').slice(1)).toEqual(before.split('\n').slice(1));
    await vm.ok('systemctl restart dstack-guest-agent', { timeoutMs: 150_000 });
    expect(await vm.ok(scoped)).toBe(key);
    await vm.ok('umount /run/mounted.sock; rm /run/mounted.sock');
    expect(await askDemo(vm, DEMO_PORT)).toMatchObject({ quote_contains_report_data: true });
  });

  it('measures what is added later, and refuses names of the boot to apps', async () => {
    const measure = () => measureWithTools(vm, { app_id: appId, instance_id: instanceId });
    const before = await measure();
    await vm.ok('dstack-util rtmr-extend -e my-event -p 00ff');
    const after = await measure();
    expect(after.events).toEqual([...before.events, 'my-event']);
    expect(after.rtmr3).not.toBe(before.rtmr3);
    expect(replays(after)).toBe(true);
    const emit = (event: string) =>
      vm.ok(
        `curl -s --unix-socket /run/dstack.sock -H 'content-type: application/json' ` +
          `-d '{"event":"${event}","payload":"01"}' http://dstack/EmitEvent`,
      );
    expect(await emit('system-ready')).toMatch(/event name system-ready is reserved/);
    expect((await measure()).rtmr3).toBe(after.rtmr3);
    expect(await emit('by-the-app')).toBe('null');
    const last = await measure();
    expect(last.events).toEqual([...after.events, 'by-the-app']);
    expect(replays(last)).toBe(true);
  });

  it('finds itself healthy, and knows where its time went', async () => {
    const { healthy, findings } = JSON.parse(await vm.ok('dstack-util doctor --json'));
    expect(findings.filter(({ status }: { status: string }) => status === 'failed')).toEqual([]);
    expect(healthy).toBe(true);
    const { current, previous } = JSON.parse(await vm.ok('dstack-util timeline --json'));
    expect(Object.keys(current.totals_ms)).toEqual(['prepare', 'setup', 'handover', 'deploy']);
    expect(previous.phases).toEqual([]);
    const kept = await vm.ok('cat /var/volatile/dstack/persistent/boot-timeline/last.jsonl');
    expect(
      kept
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .map(({ durationMs, cpuMs, ...rest }) => ({ ...rest, duration_ms: durationMs, cpu_ms: cpuMs })),
    ).toEqual(current.phases);
  });

  it('powers off cleanly', async () => {
    expect(await vm.stop()).toBe('clean');
    expect(vm.console.text).not.toMatch(/error \[/);
  });
});

describe.sequential('the same disk once more, with a 9p share', () => {
  let vm: Machine;
  beforeAll(async () => {
    vm = await boot('ext4', { app: APP, dataDisk: 'keep', shareMode: '9p' });
    await vm.waitFor({ event: 'boot.progress', payload: 'data disk ready' }, 840_000);
  });
  // the first VM has shown the rest of the boot and a clean end
  afterAll(() => vm?.kill().then(() => vm.stop()));

  it('makes the volume again, because keys of provider none live for one boot', async () => {
    expect(payloads(vm, 'boot.progress')).toContain('initializing data disk');
    expect((await vm.sh('test -e /var/volatile/dstack/persistent/marker')).exit).toBe(1);
    const [info] = payloads(vm, 'instance.info').map((text) => JSON.parse(text));
    expect(info.app_id).toBe(defaultAppId(demoAppComposeText(APP)));
    expect(info.instance_id).not.toBe(instanceId);
  });

  it('found its documents on the 9p share', async () => {
    expect((await vm.sh('blkid -L DSTACKSHR')).exit).not.toBe(0);
    expect(replays(await measureWithTools(vm, { app_id: '', instance_id: '' }))).toBe(true);
  });
});
