/**
 * `npm run bench -- agent [--requests N] [--only TEXT]`: requests a second of the guest agent in canned mode, 32 connections, client on
 * the same machine, beside a server that does nothing. Prints; never judges. Compare within one run: the client takes a
 * core of its own, and on a busy machine only the processor time of a request means something.
 */
import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { inTurns, type Rival, rivals } from './against.ts';
import { type AgentProcess, BUN, cpuTime, descriptors, ownMB, residentMB, run, startAgent } from './agent-process.ts';
import type { LoadOrder } from './http-load.ts';
import { printFigure } from './print.ts';
import { note } from './report.ts';

interface Case {
  readonly name: string;
  readonly method?: string;
  readonly path: string;
  readonly body: string;
  readonly share: number;
  readonly budget: number;
}

const CASES: readonly Case[] = [
  { name: 'GetKey, one path', path: '/GetKey', body: '{"path":"a/b","purpose":"c"}', share: 1, budget: 25_000 },
  { name: 'GetKey, new paths', path: '/GetKey', body: '{"path":"a/#"}', share: 0.1, budget: 2000 },
  { name: 'Version', path: '/Version', body: '{}', share: 1, budget: 30_000 },
  { name: 'GetTlsKey, local CA', path: '/GetTlsKey', body: '{"subject":"a"}', share: 0.02, budget: 300 },
];

const row = (name: string, ...cells: string[]) =>
  console.log(`  ${name.padEnd(24)}${cells.map((cell) => cell.padStart(14)).join('')}`);

const ROUNDS = 3;

/** Rates of our agent and of its rivals, turn by turn; beside ours the latencies of the last round and its processor time. */
async function measure(
  name: string,
  pid: number,
  order: LoadOrder,
  budget?: number,
  others: readonly Rival[] = [],
): Promise<void> {
  await run({ ...order, requests: Math.min(2000, order.requests ?? 0) }); // warm
  const each = { ...order, requests: Math.ceil((order.requests ?? 0) / ROUNDS) };
  let [used, done, last] = [0, 0, await run({ ...each, requests: 1 })];
  const rate = async (target: LoadOrder['target'], ours: boolean) => {
    const before = cpuTime(pid);
    const report = await run({ ...each, target });
    if (ours) [used, done, last] = [used + cpuTime(pid) - before, done + report.requests, report];
    return report.requests / report.seconds;
  };
  const turns = new Map([['', () => rate(order.target, true)]]);
  for (const { name: other, socket } of others) if (socket !== undefined) turns.set(other, () => rate(socket, false));
  const values = await inTurns(turns, ROUNDS);
  const ours = values.get('') ?? [];
  values.delete('');
  const kind = typeof order.target === 'string' ? 'unix' : 'tcp';
  const figure = note({ bench: 'agent', name: `${name} (${kind})`, unit: 'requests/s', budget }, ours, values);
  printFigure(figure);
  const { p50, p99, max, refused } = last;
  row(
    '',
    `p50 ${p50.toFixed(2)} ms`,
    `p99 ${p99.toFixed(2)} ms`,
    `max ${max.toFixed(0)} ms`,
    `cpu ${(used / done).toFixed(1)} us`,
    refused > 0 ? `${refused} refused` : '',
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
  const mix = [CASES[0], CASES[2]].map((one) => ['POST', one?.path ?? '', one?.body ?? ''] as const);
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

function option(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`);
  const value = Number(at < 0 ? Number.NaN : process.argv[at + 1]);
  return value >= 1 ? value : fallback;
}

/** only the cases whose name has this text, and nothing about memory */
const only = process.argv[process.argv.indexOf('--only') + 1];
const restricted = process.argv.includes('--only') && only !== undefined;
const cases = restricted ? CASES.filter(({ name }) => name.includes(only)) : CASES;
const requests = option('requests', 1_000_000);
const sample = Math.min(60_000, requests);
for (const tcp of [false, true]) {
  const agent = await startAgent(tcp);
  try {
    console.log(
      `${tcp ? 'TCP' : 'unix socket'}, 32 connections (ready after ${agent.readyAfter.toFixed(0)} ms of 150 ms)`,
    );
    note({ bench: 'agent', name: `ready after its start (${tcp ? 'tcp' : 'unix'})`, unit: 'ms', budget: 150 }, [
      agent.readyAfter,
    ]);
    if (!tcp && !restricted) await baseline(sample);
    for (const { name, path, body, share, budget } of cases) {
      const target = tcp ? agent.guest.port : agent.guest.dstackSock;
      const order = {
        target,
        connections: 32,
        requests: Math.round(sample * share),
        mix: [['POST', path, body]] as const,
      };
      await measure(name, agent.pid, order, budget, tcp ? [] : rivals(process.argv));
    }
    if (!tcp && !restricted) await memory(agent, requests);
  } finally {
    await agent.stop();
  }
}
