/** `npm run bench -- boot [runs]`: how long starts take, against their budgets. Prints; never judges. */
import { join } from 'node:path';
import { DEMO_PORT, demoAppComposeText } from '../initramfs/demo/app-compose.ts';
import { cacheRoot } from '../initramfs/lib/cache.ts';
import { askDemo } from '../initramfs/vm/checks.ts';
import { ensureDevImage } from '../initramfs/vm/dev-image.ts';
import { Machine } from '../initramfs/vm/machine.ts';
import { readSteps } from '../initramfs/vm/step-log.ts';
import { PATHS } from '../src/config/paths.ts';
import { type PhaseRecord, parseTimeline } from '../src/config/timeline-file.ts';
import { duration } from '../src/ui.ts';
import { benchGuest } from './guest.ts';
import { options } from './options.ts';
import { wallTime } from './overlaps.ts';
import { ownTime } from './own-time.ts';
import { median, note } from './report.ts';

/** milliseconds */
const BUDGET = { firstStart: 15 * 60_000, laterStart: 60_000, setup: 400, own: 1000 };

/** Phases of setup that wait for somebody else: a disk, the KMS, the clock, the gateway, the quoting device. */
const WAITING = new Set([
  'mount the host share',
  'unmount the host share',
  'wait for secure time',
  'get the app keys',
  'open the data disk',
  'set up swap',
  'print the app info',
  'join the gateway',
]);
/** shorter phases of setup are not shown by themselves */
const SHOWN_MS = 20;
const SETUP_OURS = 'setup without what it waits for';
const OWN = 'own time, ready to containers wanted';
const BUDGETS: Record<string, number> = {
  'the app has answered': BUDGET.laterStart,
  [SETUP_OURS]: BUDGET.setup,
  [OWN]: BUDGET.own,
};

function row(name: string, milliseconds: number, budget?: number, note = ''): void {
  const limit = budget === undefined ? '' : `budget ${duration(budget)}`;
  console.log(`  ${name.padEnd(40)} ${duration(milliseconds).padStart(12)}   ${limit.padEnd(18)} ${note}`.trimEnd());
}

/** One start with everything cached, up to the answer of the app. */
async function oneStart(): Promise<Record<string, number>> {
  const began = performance.now();
  const since = () => performance.now() - began;
  const marks: Record<string, number> = {};
  const image = await ensureDevImage({ zfs: false });
  marks['image found in the cache'] = since();
  const vm = await Machine.boot({
    image,
    dir: join(cacheRoot, 'vm/bench'),
    share: { 'app-compose.json': demoAppComposeText() },
    dataDisk: 'keep',
    onLine: (line) => {
      if (/Welcome to /.test(line)) marks['systemd runs'] ??= since();
    },
    onEvent: ({ event, payload }) => {
      if (event === 'boot.progress') marks[`told: ${payload}`] ??= since();
    },
  });
  try {
    await vm.waitFor({ event: 'boot.progress', payload: 'done' }, 600_000);
    await askDemo(vm, DEMO_PORT);
    marks['the app has answered'] = since();
    const records = parseTimeline(await vm.ok(`cat ${PATHS.bootTimeline}`));
    Object.assign(marks, setupTimes(records), await ownTimes(vm, records));
    const stopping = performance.now();
    await vm.stop();
    marks['power off'] = performance.now() - stopping;
    return marks;
  } finally {
    await vm.stop();
  }
}

/** Where setup spent its time. */
function setupTimes(records: readonly PhaseRecord[]): Record<string, number> {
  const setup = records.filter(({ sequence }) => sequence === 'setup');
  const ours = setup.filter(({ phase }) => !WAITING.has(phase));
  const shown = setup.filter(({ durationMs }) => durationMs >= SHOWN_MS);
  return {
    [SETUP_OURS]: wallTime(ours),
    ...Object.fromEntries(
      shown.map(({ phase, durationMs }) => [`  ${phase}${WAITING.has(phase) ? ' (waits)' : ''}`, durationMs]),
    ),
  };
}

/** Our own part of the way from system-ready to the request for containers: processor time, since docker starts beside it. */
async function ownTimes(vm: Machine, records: readonly PhaseRecord[]): Promise<Record<string, number>> {
  const { wall, setup, agent, deploy, phases } = await ownTime(vm, records);
  return {
    [OWN]: setup + deploy,
    '  setup and handover': setup,
    '  deploy, up to the request': deploy,
    ...Object.fromEntries(Object.entries(phases).map(([name, ms]) => [`    ${name}`, ms])),
    '  beside it: agent until ready': agent,
    '  all of it, docker included': wall,
  };
}

async function main(runs: number): Promise<void> {
  console.log('first start, steps as they were built (the longest of each)');
  const steps = await readSteps();
  for (const [step, ms] of steps) {
    note({ bench: 'boot', name: `first start: ${step}`, unit: 'ms' }, [ms]);
    row(step, ms);
  }
  row(
    'together',
    [...steps.values()].reduce((sum, ms) => sum + ms, 0),
    BUDGET.firstStart,
  );

  await ensureDevImage({ zfs: false }); // what is stale is built here, not in the first run
  console.log(`\nlater start, median of ${runs}`);
  const starts: Record<string, number>[] = [];
  for (let i = 0; i < runs; i++) starts.push(await oneStart());
  for (const name of new Set(starts.flatMap((marks) => Object.keys(marks)))) {
    const values = starts.flatMap((marks) => marks[name] ?? []);
    const budget = BUDGETS[name];
    note({ bench: 'boot', name: `later start: ${name}`, unit: 'ms', budget }, values);
    const spread = `${duration(Math.min(...values))} to ${duration(Math.max(...values))}`;
    row(name, median(values), budget, spread);
  }
  await benchGuest();
}

await main(options().runs ?? 3);
