/** From system-ready to the moment docker is asked for containers, in a VM that has just started: whose time that is. */
import type { Machine } from '../initramfs/vm/machine.ts';
import type { PhaseRecord } from '../src/config/timeline-file.ts';
import { processorTime } from './overlaps.ts';

/** milliseconds */
export interface OwnTime {
  /** from the end of the measurement to the request, docker's own start included */
  readonly wall: number;
  /** processor time of `setup` after the measurement */
  readonly setup: number;
  /** processor time of `deploy` before the request, its start included */
  readonly deploy: number;
  /** from the start of the agent's process to its readiness: dockerd waits for it */
  readonly agent: number;
  /** processor time of the phases in `setup` and `deploy`, by name */
  readonly phases: Readonly<Record<string, number>>;
}

const READY = 'measure system-ready';
/** the phase that makes the request */
const REQUEST = 'start the app';

/** @param records the timeline of this boot @throws Error when the journal or the timeline does not say it */
export async function ownTime(vm: Machine, records: readonly PhaseRecord[]): Promise<OwnTime> {
  const ready = records.find(({ phase }) => phase === READY);
  if (ready === undefined) throw new Error('the timeline knows no system-ready');
  const request = records.findLastIndex(({ sequence, phase }) => sequence === 'deploy' && phase === REQUEST);
  const between = records.slice(records.indexOf(ready) + 1, request);
  const command = "journalctl -b -u app-compose --no-pager -o short-unix | grep 'containers requested' | tail -1";
  const line = await vm.ok(command, { timeoutMs: 60_000 });
  const [, moment = '', amount = '', unit = ''] =
    /^([\d.]+) .*containers requested, ([\d.]+) (ms|s) of our own/.exec(line) ?? [];
  if (moment === '') throw new Error(`the journal does not tell of the request: ${line}`);
  const show = async (property: string) => Number(await vm.ok(`systemctl show -P ${property} dstack-guest-agent`));
  return {
    wall: Number(moment) * 1000 - (Date.parse(ready.start) + ready.durationMs),
    setup: processorTime(between.filter(({ sequence }) => sequence !== 'deploy')),
    deploy: Number(amount) * (unit === 's' ? 1000 : 1),
    agent: ((await show('ActiveEnterTimestampMonotonic')) - (await show('ExecMainStartTimestampMonotonic'))) / 1000,
    // all that were not skipped: every start has the same rows
    phases: Object.fromEntries(
      between.flatMap(({ sequence, phase, outcome, cpuMs = 0 }) =>
        outcome === 'done' ? [[`${sequence}: ${phase}`, cpuMs]] : [],
      ),
    ),
  };
}
