/** What the runner looks at after a boot: does the event log explain RTMR3, do keys and app answer. */
import { toHex } from '../../src/codec/hex.ts';
import { parseLogJson } from '../../src/tdx/log-json.ts';
import { replay } from '../../src/tdx/replay.ts';
import { isRuntimeEvent } from '../../src/tdx/tdx-event.ts';
import type { Machine } from './machine.ts';

export interface Measured {
  readonly appId: string;
  readonly instanceId: string;
  /** RTMR3 inside a fresh quote, hex */
  readonly rtmr3: string;
  /** what the event log explains, hex */
  readonly replayed: string;
  /** names of the runtime events in their order */
  readonly events: readonly string[];
}

interface WorkerInfo {
  app_id: string;
  instance_id: string;
  tcb_info: string;
}

/** Offset of RTMR3 in a version 4 quote. */
const QUOTE_RTMR3 = 520;

/** Asks the agent's public port; when the app hides its measurements there, the tools inside the dev image. */
export async function readMeasurements(vm: Machine): Promise<Measured> {
  const info = (await vm.getWhenReady('/prpc/Worker.Info')).json<WorkerInfo>();
  if (info.tcb_info === '') return measureWithTools(vm, info);
  const tcb = JSON.parse(info.tcb_info) as { rtmr3: string; event_log: unknown };
  return compare(info, tcb.rtmr3, JSON.stringify(tcb.event_log));
}

/** Takes a quote and reads the log with the commands in the guest: always of this moment, while the agent may cache. */
export async function measureWithTools(
  vm: Machine,
  info: Pick<WorkerInfo, 'app_id' | 'instance_id'>,
): Promise<Measured> {
  const quote = Buffer.from(await vm.ok('head -c 64 /dev/zero | dstack-util quote | base64 -w0'), 'base64');
  const log = await vm.ok('dstack-util eventlog');
  return compare(info, quote.subarray(QUOTE_RTMR3, QUOTE_RTMR3 + 48).toString('hex'), log);
}

/** Replays a log given as JSON. */
export function compare(info: { app_id: string; instance_id: string }, rtmr3: string, log: string): Measured {
  const events = parseLogJson(log);
  return {
    appId: info.app_id,
    instanceId: info.instance_id,
    rtmr3,
    replayed: toHex(replay(events, 3)),
    events: events.filter(isRuntimeEvent).map(({ event }) => event),
  };
}

export const replays = ({ rtmr3, replayed }: Measured): boolean => rtmr3 === replayed;

/** What the demo app says about itself. */
export interface DemoCheck {
  readonly app_id: string;
  readonly instance_id: string;
  readonly public_key: string;
  readonly report_data: string;
  readonly quote_bytes: number;
  readonly quote_contains_report_data: boolean;
}

/** Asks the demo app for its facts, as soon as it answers. */
export async function askDemo(vm: Machine, port: number, timeoutMs = 120_000): Promise<DemoCheck> {
  return (await vm.getWhenReady('/check', { port, timeoutMs })).json<DemoCheck>();
}

/** Calls a method of the agent over its unix socket inside the guest. */
export async function agentCall<T>(vm: Machine, method: string, body: unknown = {}): Promise<T> {
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  const curl = 'curl -sS --max-time 50 --unix-socket /run/dstack.sock -H "Content-Type: application/json"';
  const answer = JSON.parse(await vm.ok(`${curl} -d '${json}' http://dstack/${method}`)) as T & { error?: string };
  if (answer?.error !== undefined) throw new Error(`${method}: ${answer.error}`);
  return answer;
}
