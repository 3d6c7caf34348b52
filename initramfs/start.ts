/** `npm start`: builds what is missing, boots the VM with the demo app, shows how that goes and what came out. */
import { join, relative } from 'node:path';
import { runScript, WrongOptions } from '../scripts/lib/script.ts';
import { parseAppCompose } from '../src/config/app-compose.ts';
import { duration } from '../src/ui.ts';
import { chooseApp } from './choose-app.ts';
import { DEMO_PORT } from './demo/app-compose.ts';
import { cacheRoot, projectRoot } from './lib/cache.ts';
import type { OnProgress } from './lib/image.ts';
import { type StartOptions, startCommand } from './start-options.ts';
import { BootView } from './vm/boot-view.ts';
import { agentCall, askDemo, readMeasurements } from './vm/checks.ts';
import { ensureDevImage } from './vm/dev-image.ts';
import { gatewayAppId, VmGateway } from './vm/gateway.ts';
import { hostVerifier, type Proof, prove } from './vm/host-verifier.ts';
import { startVmKms, type VmKms } from './vm/kms.ts';
import { Machine } from './vm/machine.ts';
import { whoHolds } from './vm/port-holder.ts';
import { ProgressView } from './vm/progress-view.ts';
import { defaultAppId } from './vm/share.ts';
import { isGood, type KeyFacts, type Summary, summaryJson, summaryText, type TunnelCheck } from './vm/summary.ts';

const AGENT_PORT = 8090;
const BOOT_LIMIT_MS = 600_000;
const TUNNEL_LIMIT_MS = 90_000;
const view = new ProgressView({ out: process.stderr });

async function start(options: StartOptions): Promise<void> {
  const stay = options.keep || (!options.once && process.stdin.isTTY === true && process.stdout.isTTY === true);
  const own = options.appCompose ?? options.compose;
  if (options.appCompose !== undefined && options.compose !== undefined)
    throw new WrongOptions('--app-compose and --compose name two apps: give one of them');
  if (options.gateway && (own !== undefined || options.provider !== 'kms')) {
    throw new WrongOptions(
      '--gateway goes with the demo app and --provider kms: only a KMS names the gateway an app may trust',
    );
  }
  const { document, name, demo, ports } = await chooseApp(options, (line) => process.stderr.write(`${line}\n`));
  const interrupt = new Interrupt();
  view.heading('image');
  const image = await ensureDevImage({
    zfs: options.storage === 'zfs',
    ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    onProgress: showImageStep,
    onCompile: (state) => (state === 'start' ? view.start('binaries') : view.finish()),
  });
  interrupt.check();

  view.heading(`boot (${name}, ${options.memory} MiB, data disk ${options.storage})`);
  const boot = new BootView(view, { all: options.verbose });
  boot.start();
  const dir = join(cacheRoot, 'vm', name);
  const kms = await kmsFor(document, join(dir, 'kms'));
  let gateway: VmGateway | undefined;
  let vm: Machine;
  try {
    gateway = options.gateway && kms !== undefined ? await VmGateway.start(kms.roots) : undefined;
    vm = await Machine.boot({
      image,
      dir,
      share: { 'app-compose.json': document },
      dataDisk: 'keep',
      memoryMiB: options.memory,
      // an own document may leave the file system to the platform
      kernelArgs: [`dstack.storage_fs=${options.storage}`],
      guestPorts: [AGENT_PORT, ...ports],
      forwards: options.ports,
      // packets of the VPN are UDP to this host, which a restricted network does not let through
      network: demo && gateway === undefined ? 'host' : 'open',
      ...(kms === undefined ? {} : { rememberInstance: true }),
      services: [...(kms?.services ?? []), ...(gateway?.services ?? [])],
      sysConfig: { ...kms?.sysConfig, ...gateway?.sysConfig },
      onLine: (line) => boot.line(line),
      onEvent: (event) => boot.event(event),
    });
  } catch (thrown) {
    // they would keep this process alive
    await gateway?.close();
    await kms?.close();
    throw thrown;
  }
  interrupt.guard(vm);
  tellPorts(vm, options);
  try {
    await vm.waitFor({ event: 'boot.progress', payload: 'done' }, BOOT_LIMIT_MS);
    view.stop();
    const summary = await inspect(vm, { demo, document, dir, folder: image.folder }, gateway);
    report(summary, options);
    if (!isGood(summary)) process.exitCode = 1;
    if (stay) {
      view.heading(
        process.stdin.isTTY ? 'Ctrl-C powers the VM off.' : `SIGINT powers the VM off (pid ${process.pid}).`,
      );
      await Promise.race([interrupt.requested, vm.waitExit(2 ** 31 - 1)]);
    }
  } catch (thrown) {
    if (interrupt.signal) process.exitCode = 130;
    else {
      view.fail();
      process.stderr.write(`\n${(thrown as Error).message}\nthe boot was at: ${boot.position}\n`);
      process.exitCode = 1;
    }
  } finally {
    await powerOff(vm);
    await gateway?.close();
    await kms?.close();
  }
}

/** A guest's port that is somebody else's on this host is named: the address is another one than expected. */
function tellPorts(vm: Machine, { ports }: StartOptions): void {
  for (const { guest, host } of vm.forwards) {
    if (guest === host || ports.some((it) => it.guest === guest)) continue;
    const why = guest < 1024 ? 'is the system’s on this host' : `is taken by ${whoHolds(guest)}`;
    view.note('note', `port ${guest} ${why}`, `here it is 127.0.0.1:${host}`);
  }
}

/** A development KMS for an app that wants one. It gives keys to this app and to no other. */
async function kmsFor(document: string, state: string): Promise<VmKms | undefined> {
  if (parseAppCompose(Buffer.from(document)).keyProvider !== 'kms') return undefined;
  const policy = { apps: new Set([defaultAppId(document)]), composeHashes: new Set<string>() };
  return startVmKms({ state, policy, gatewayAppId });
}

/** Where the agent says that the keys came from. */
async function keyFacts(vm: Machine): Promise<KeyFacts> {
  const { key_provider_info } = await agentCall<{ key_provider_info: string }>(vm, 'Info');
  const { name, id } = JSON.parse(key_provider_info) as { name: string; id: string };
  const opened = vm.events.some(({ payload }) => payload === 'mounting data disk');
  return { provider: name, id, disk: opened ? 'opened again' : 'new' };
}

/** Asks the agent and the app, each as soon as it answers. */
async function inspect(
  vm: Machine,
  started: { demo: boolean; document: string; dir: string; folder: string | undefined },
  gateway?: VmGateway,
): Promise<Summary> {
  view.heading('checks');
  view.start('app');
  const demo = started.demo ? await askDemo(vm, DEMO_PORT) : undefined;
  if (demo) view.finish('answers');
  const tunnel = gateway === undefined ? undefined : await throughTunnel(gateway);
  const readyMs = Date.now() - vm.startedAt;
  view.start('event log and RTMR3');
  const measured = await readMeasurements(vm);
  view.finish(`${measured.events.length} events`);
  const proof = await provenBy(vm, measured.instanceId, started);
  view.start('GetKey');
  const key = await agentCall<{ key?: string }>(vm, 'GetKey', { path: 'runner/check', purpose: 'check' });
  view.finish();
  return {
    measured,
    ...(proof === undefined ? {} : { proof }),
    keys: await keyFacts(vm),
    ...(demo === undefined ? {} : { demo }),
    ...(tunnel === undefined ? {} : { tunnel }),
    keyAnswered: /^[0-9a-f]{64}$/.test(key.key ?? ''),
    agentUrl: vm.url('/'),
    appUrls: vm.forwards.filter(({ guest }) => guest !== AGENT_PORT).map(({ guest }) => vm.url('/', guest)),
    consoleLog: relative(projectRoot, vm.console.file),
    readyMs,
  };
}

/** The judgement of the shipped `verify`, here on the host, with nothing but the image folder and the app's document. */
async function provenBy(
  vm: Machine,
  instanceId: string,
  { folder, document, dir }: { folder: string | undefined; document: string; dir: string },
): Promise<Proof | undefined> {
  if (folder === undefined) return undefined;
  view.start('evidence');
  const verifier = await hostVerifier(join(dir, 'verify'));
  const quote = (reportData: string) => agentCall(vm, 'GetQuote', { report_data: reportData });
  const proof = await prove(verifier, { folder, appCompose: document, instanceId }, quote);
  view.finish('judged by dstack-util verify');
  return proof;
}

/** The page of the app, as it comes through the VPN. */
async function throughTunnel(gateway: VmGateway): Promise<TunnelCheck> {
  view.start('page through the gateway');
  const url = await gateway.publish(DEMO_PORT);
  const end = Date.now() + TUNNEL_LIMIT_MS;
  for (;;) {
    const page = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
    if (page?.ok) {
      view.finish(`${(await page.text()).length} characters from ${gateway.guest}`);
      return { url, guest: gateway.guest ?? '', ok: true };
    }
    if (Date.now() > end) {
      view.fail();
      return { url, guest: gateway.guest ?? '', ok: false };
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function report(summary: Summary, options: StartOptions): void {
  if (options.json) {
    process.stdout.write(`${JSON.stringify(summaryJson(summary), null, 2)}\n`);
    return;
  }
  const paint = (sgr: number, text: string) => (process.stdout.isTTY ? view.paint(sgr, text) : text);
  process.stdout.write(
    `\nready in ${duration(summary.readyMs)}\n${summaryText(summary, paint, process.stdout.isTTY ? process.stdout.columns : undefined)}\n\n`,
  );
}

const showImageStep: OnProgress = ({ step, state, detail, ms }) => {
  if (state === 'start') view.start(step, detail);
  else if (state === 'progress') view.detail(detail ?? '');
  else if ((ms ?? 0) >= 500) view.finish(detail, ms);
  else view.stop(); // it was cached
};

async function powerOff(vm: Machine): Promise<void> {
  if (!view.running) view.start('power off');
  const how = await vm.stop();
  view.finish(how === 'clean' ? '' : `the guest did not end by itself (${how})`);
  if (how !== 'clean' && process.exitCode === undefined) process.exitCode = 1;
}

/** The first SIGINT or SIGTERM powers the VM off, the second one ends it at once. */
class Interrupt {
  readonly requested: Promise<void>;
  signal: NodeJS.Signals | undefined;
  #vm: Machine | undefined;

  constructor() {
    this.requested = new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        process.on(signal, () => {
          if (this.signal || !this.#vm) process.exit(130); // QEMU dies with its parent
          this.signal = signal;
          view.stop();
          view.start('power off', 'once more ends it at once');
          resolve();
          void this.#vm.stop();
        });
      }
    });
  }

  guard(vm: Machine): void {
    this.#vm = vm;
  }

  check(): void {
    if (this.signal) process.exit(130);
  }
}

await runScript(startCommand(start), { onFailure: () => view.fail() });
