/**
 * `npm run bench -- agent [--requests N] [--only TEXT] [--canned FOLDER] [--against NAME=SOCKET]`: requests a second and
 * processor time a request of the guest agent in canned mode, 32 connections, client on the same machine, beside a server
 * that does nothing. Prints; never judges. Compare within one run: the client takes a core of its own, and on a busy machine
 * only the processor time of a request means something. Another server that is named by its dstack.sock takes turns with
 * ours; give both the same files.
 */
import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inTurns } from './against.ts';
import { agentCases } from './agent-cases.ts';
import {
  type AgentProcess,
  BUN,
  cpuTime,
  descriptors,
  listenerOf,
  ownMB,
  peakMB,
  residentMB,
  run,
  startAgent,
} from './agent-process.ts';
import type { LoadOrder } from './http-load.ts';
import { options } from './options.ts';
import { printFigure } from './print.ts';
import { note } from './report.ts';

/** Another server: where it answers, and its process. */
interface Other {
  readonly name: string;
  readonly target: LoadOrder['target'];
  readonly pid: number;
}

const row = (name: string, ...cells: string[]) =>
  console.log(`  ${name.padEnd(24)}${cells.map((cell) => cell.padStart(14)).join('')}`);

const ROUNDS = 5;
const TURN_MS = 800;

/** Rates and processor times of our agent and of the others, turn by turn; beside ours the latencies of the last round. */
async function measure(
  name: string,
  pid: number,
  order: LoadOrder,
  budget?: number,
  others: readonly Other[] = [],
): Promise<void> {
  const { requests = 0, ...rest } = order;
  // beside others the turns are short and equally long: what else the machine does then changes for all of them
  const each =
    others.length > 0 ? { ...rest, milliseconds: TURN_MS } : { ...rest, requests: Math.ceil(requests / ROUNDS) };
  const able: Other[] = [];
  for (const other of others) {
    const warm = await run({ ...each, target: other.target });
    if (warm.refused === 0) able.push(other);
    else console.log(`  ${name}: ${other.name} refused ${warm.refused} of ${warm.requests} requests and is left out`);
  }
  await run(each);
  let last = await run({ ...rest, requests: 1 });
  const times = new Map<string, number[]>();
  const turn = (who: string, target: LoadOrder['target'], process: number) => async () => {
    const before = cpuTime(process);
    const report = await run({ ...each, target });
    times.set(who, [...(times.get(who) ?? []), (cpuTime(process) - before) / report.requests]);
    if (who === '') last = report;
    return report.requests / report.seconds;
  };
  const turns = new Map([['', turn('', order.target, pid)]]);
  for (const other of able) turns.set(other.name, turn(other.name, other.target, other.pid));
  const rates = await inTurns(turns, ROUNDS);
  const kind = typeof order.target === 'string' ? 'unix' : 'tcp';
  for (const [what, unit, values] of [
    ['', 'requests/s', rates],
    [', processor time', 'us', times],
  ] as const) {
    const ours = values.get('') ?? [];
    values.delete('');
    const limit = unit === 'us' ? undefined : budget;
    printFigure(note({ bench: 'agent', name: `${name}${what} (${kind})`, unit, budget: limit }, ours, values));
  }
  const { p50, p99, max, refused: broken } = last;
  row(
    '',
    `p50 ${p50.toFixed(2)} ms`,
    `p99 ${p99.toFixed(2)} ms`,
    `max ${max.toFixed(0)} ms`,
    broken > 0 ? `${broken} refused` : '',
  );
}

async function baseline(requests: number): Promise<void> {
  const path = `/tmp/dstack-bench-${process.pid}.sock`;
  const server = spawn(BUN, ['bench/baseline-server.ts', path], { stdio: 'ignore' });
  try {
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
    await measure('server doing nothing', server.pid ?? 0, {
      target: path,
      connections: 32,
      requests,
      mix: [['POST', '/', '{"path":"a/b","purpose":"c"}']],
    });
  } finally {
    server.kill();
    rmSync(path, { force: true });
  }
}

async function memory({ guest, pid }: AgentProcess, requests: number): Promise<void> {
  const order = { target: guest.dstackSock, connections: 32, requests: requests / 4 };
  const mix = [
    ['POST', '/GetKey', '{"path":"a/b","purpose":"c"}'],
    ['POST', '/Version', '{}'],
  ] as const;
  const first = residentMB(pid);
  const quarters: { resident: number; own: number }[] = [];
  for (let i = 0; i < 4; i++) {
    const samples: { resident: number; own: number }[] = [];
    const timer = setInterval(() => samples.push({ resident: residentMB(pid), own: ownMB(pid) }), 100);
    await run({ ...order, mix });
    clearInterval(timer);
    // heap and program pages rise and fall all the time: one reading says little
    quarters.push({
      resident: median(samples.map(({ resident }) => resident)),
      own: median(samples.map(({ own }) => own)),
    });
  }
  const [, middle, , last] = quarters as [(typeof quarters)[0], (typeof quarters)[0], unknown, (typeof quarters)[0]];
  await new Promise((resolve) => setTimeout(resolve, 8000));
  const idle = residentMB(pid);
  note({ bench: 'agent', name: `memory after ${requests} requests`, unit: 'MB', budget: 80 }, [last.resident]);
  note({ bench: 'agent', name: 'memory, idle afterwards', unit: 'MB' }, [idle]);
  row(
    'resident memory',
    `${first.toFixed(1)} MB`,
    `${middle.resident.toFixed(1)} MB`,
    `${last.resident.toFixed(1)} MB`,
    `idle ${idle.toFixed(1)} MB`,
    'of 80 MB',
  );
  const growth = (last.resident - middle.resident).toFixed(1);
  const own = (last.own - middle.own).toFixed(1);
  console.log(
    `  growth over the last half of ${requests}: ${growth} MB of 2 MB, without the program file ${own} MB ` +
      `(medians of the second and of the last quarter), ${descriptors(pid)} descriptors`,
  );
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Memory of all before anything was asked, or at the end the most that each ever had. */
function noteMemory(name: string, of: (pid: number) => number, pid: number, others: readonly Other[]): void {
  const theirs = new Map(others.map((other) => [other.name, [of(other.pid)]]));
  printFigure(note({ bench: 'agent', name, unit: 'MB' }, [of(pid)], theirs));
}

/** only the cases whose name has this text, and nothing about memory */
const { only, canned, requests, against } = options();
const sample = Math.min(60_000, requests);
const sockets = against.flatMap(({ name, socket }) => (socket === undefined ? [] : [{ name, socket }]));
const others = await Promise.all(
  sockets.map(async ({ name, socket }) => ({ name, target: socket, pid: await listenerOf(socket) })),
);
// the port is served by the same code: it is measured when nobody else is
for (const tcp of others.length > 0 ? [false] : [false, true]) {
  const agent = await startAgent({ tcp, canned });
  try {
    console.log(
      `${tcp ? 'TCP' : 'unix socket'}, 32 connections (ready after ${agent.readyAfter.toFixed(0)} ms of 150 ms)`,
    );
    note({ bench: 'agent', name: `ready after its start (${tcp ? 'tcp' : 'unix'})`, unit: 'ms', budget: 150 }, [
      agent.readyAfter,
    ]);
    if (!tcp && only === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5000));
      noteMemory('memory, idle after the start', residentMB, agent.pid, others);
      if (others.length === 0) await baseline(sample);
    }
    const cases = await agentCases(tcp ? agent.guest.port : agent.guest.dstackSock);
    for (const { name, path, body, share, budget, tappd } of cases) {
      if ((only !== undefined && !name.includes(only)) || (tcp && tappd)) continue;
      const { port, dstackSock, tappdSock } = agent.guest;
      const order = {
        target: tcp ? port : tappd ? tappdSock : dstackSock,
        connections: 32,
        requests: Math.round(sample * share),
        mix: [['POST', path, body]] as const,
      };
      const there = others.map((other) => ({
        ...other,
        target: tappd ? join(dirname(other.target), 'tappd.sock') : other.target,
      }));
      await measure(name, agent.pid, order, budget, there);
    }
    if (tcp || only !== undefined) continue;
    noteMemory('memory, the most that all of this took', peakMB, agent.pid, others);
    if (others.length === 0) await memory(agent, requests);
  } finally {
    await agent.stop();
  }
}
