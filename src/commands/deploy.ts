/** `deploy`: start, stop or look at the app. */
import { type Command, Option } from 'commander';
import { loadNotifier, loadRunSequence, loadTimelineStore, loadTimelineWriter } from '../boot/boot.ts';
import { chooseHostShared, PATHS } from '../config/paths.ts';
import { loadHold, loadPlan, loadSteps } from '../deploy/deploy.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';
import { dryRun } from './dry-run.ts';
import { seconds } from './seconds.ts';

interface Options {
  readonly workDir: string;
  /** earlier name of `workDir` */
  readonly dir?: string;
  readonly hostShared?: string;
  readonly plan?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly wait?: string;
  readonly scriptLimit?: string;
}

const FLUSH_MS = 10_000;

/**
 * Work directory of the app. The documents of the host are those below it, as `setup --work-dir` leaves them, unless another
 * folder is named.
 */
function workDir(options: Options): string {
  const dir = options.dir ?? options.workDir;
  if (options.hostShared !== undefined) chooseHostShared(options.hostShared);
  else if (dir !== PATHS.dstack) chooseHostShared(`${dir}/.host-shared`);
  return dir;
}

async function start(options: Options): Promise<void> {
  const dir = workDir(options);
  const { START, WAIT_MS, deployContext, logOut } = await loadSteps();
  const { describeFailure, planText, runSequence } = await loadRunSequence();
  if (options.plan) {
    const phases = START.map(({ name }) => name);
    const steps = phases.map((name) => ({ name, run: async () => {} }));
    const context = await deployContext(dir);
    const { appPlan, appPlanText } = await loadPlan();
    const app = await appPlan(context);
    const text = () => `${planText('deploy', steps)}\n\n${appPlanText(app)}`;
    ui.result({ sequence: 'deploy', phases, app }, { json: options.json, text });
    return;
  }
  if (options.dryRun) await dryRun(options);
  const { HostNotifier } = await loadNotifier();
  const { fileTimeline } = await loadTimelineWriter();
  const { detectPlatform } = await import('../tdx/platform.ts');
  const host = new HostNotifier(undefined, detectPlatform(realTdxMachine));
  host.open(await hostApiUrl());
  const started = performance.now();
  let context: Awaited<ReturnType<typeof deployContext>> & { host: typeof host; measured: []; notes: [] };
  try {
    const waitMs = options.wait === undefined ? WAIT_MS : seconds('--wait', options.wait) * 1000;
    const { scriptLimit } = options;
    const scriptTimeoutMs = scriptLimit === undefined ? undefined : seconds('--script-limit', scriptLimit) * 1000;
    const tell = (text: string) => host.progress(text);
    context = {
      ...(await deployContext(dir, { waitMs, scriptTimeoutMs, tell })),
      host,
      measured: [],
      notes: [],
    };
  } catch (thrown) {
    host.send('boot.error', describeFailure(thrown));
    await host.flush(FLUSH_MS);
    throw thrown;
  }
  const timeline = fileTimeline(PATHS.bootTimeline);
  const phases = await runSequence<typeof context>('deploy', START, context, { timeline }).finally(() =>
    logOut(context),
  );
  const { keepTimeline } = await loadTimelineStore();
  await Promise.all([host.flush(FLUSH_MS), keepTimeline(PATHS.dataMount)]);
  const report = { sequence: 'deploy', runner: context.runner.name, phases };
  if (options.json) ui.result(report, { json: true, text: () => '' });
  else ui.info(`deploy done, ${ui.duration(performance.now() - started)}`);
}

async function stop(options: Options): Promise<void> {
  const { STOP, deployContext } = await loadSteps();
  const phases = STOP.map(({ name }) => name);
  if (options.plan) {
    ui.result({ sequence: 'stop', phases }, { json: options.json, text: () => phases.join('\n') });
    return;
  }
  if (options.dryRun) await dryRun(options);
  const context = await deployContext(workDir(options));
  for (const step of STOP) await step.run(context);
  if (options.json) ui.result({ sequence: 'stop', runner: context.runner.name }, { json: true, text: () => '' });
}

async function hold(options: Options & { dockerRoot: string }): Promise<void> {
  if (options.dryRun) await dryRun(options);
  const { holdContainers } = await loadHold();
  const held = await holdContainers(options.dockerRoot);
  const line = ({ id, policy, service }: (typeof held)[number]) =>
    `${id.slice(0, 12)} ${policy.Name} ${service || '-'}`;
  const value = held.map(({ policy, ...container }) => ({
    ...container,
    policy: { name: policy.Name, maximum_retry_count: policy.MaximumRetryCount },
  }));
  ui.result(
    { held: value },
    { json: options.json, text: () => (held.length === 0 ? ['nothing to hold'] : held.map(line)) },
  );
}

/** The host is told best effort: a damaged system configuration fails where it is needed, not here. */
async function hostApiUrl(): Promise<string | undefined> {
  const { hostShared } = await import('../config/paths.ts');
  const { parseSysConfig } = await import('../config/sys-config.ts');
  const { readLimited } = await import('../sys/files.ts');
  try {
    return parseSysConfig(await readLimited(hostShared('sysConfig'), 1024 * 1024)).hostApiUrl;
  } catch (thrown) {
    ui.debug(`the host is not told: ${String(thrown)}`);
    return undefined;
  }
}

async function status(options: Options): Promise<void> {
  const { deployContext } = await loadSteps();
  const context = await deployContext(workDir(options));
  const services = await context.runner.status(context);
  ui.result({ runner: context.runner.name, services }, { json: options.json, text: () => statusText(services) });
}

function statusText(services: readonly import('../deploy/deploy.ts').ServiceStatus[]): string[] {
  if (services.length === 0) return ['no containers'];
  const rows = [
    ['SERVICE', 'VERDICT', 'STATE', 'HEALTH', 'RESTARTS', 'IMAGE'],
    ...services.map(({ service, verdict, state, health, exitCode, restarts, image }) => [
      service,
      verdict,
      state === 'exited' ? `exited (${exitCode})` : state || '-',
      health || '-',
      String(restarts),
      image,
    ]),
  ];
  const words = services.flatMap(({ service, stage, words }) => (words ? [`${service}: ${stage}: ${words}`] : []));
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [...table, ...words];
}

export default function define(command: Command): void {
  const sub = (name: string, summary: string) =>
    command
      .command(name)
      .description(summary)
      .option('--work-dir <dir>', 'work directory of the app', PATHS.dstack)
      .addOption(new Option('--dir <dir>').hideHelp())
      .option('--host-shared <dir>', 'folder with app-compose.json (default: .host-shared of the work directory)')
      .option('--json', 'print the result as JSON');
  const changing = (name: string, summary: string) =>
    sub(name, summary)
      .option('--plan', 'print the steps and do nothing')
      .option('--dry-run', 'print each change without making it');
  changing('start', 'run the pre-launch script and start the containers')
    .option('--wait <seconds>', 'how long to wait for health checks; 0 = not at all (default: 120)')
    .option('--script-limit <seconds>', 'end a script of the app that takes longer (default: no limit)')
    .action(start);
  changing('stop', 'stop the containers').action(stop);
  changing('hold', 'before dockerd starts: keep it from starting containers by itself')
    .option('--docker-root <folder>', 'data folder of docker', '/var/lib/docker')
    .action(hold);
  sub('status', 'show the containers of the app').action(status);
}
