/**
 * `npm run bench -- soak [--minutes N]`: mixed calls on kept and on ever new connections, silent connections beside them;
 * memory and descriptors of the agent every ten seconds. What grows from the second half on would be a leak.
 */
import { connect, type Socket } from 'node:net';
import { descriptors, residentMB, run, startAgent } from './agent-process.ts';
import { options } from './options.ts';

const { minutes } = options();
const milliseconds = minutes * 60_000;

const APP = [
  ['POST', '/GetKey', '{"path":"a"}'],
  ['POST', '/GetKey', '{"path":"new/#"}'],
  ['GET', '/GetKey?path=query', ''],
  ['POST', '/Version', '{}'],
  ['POST', '/Info', '{}'],
  ['POST', '/GetQuote', '{"report_data":"aa"}'],
  ['POST', '/Sign', '{"algorithm":"ed25519","data":"00"}'],
  ['POST', '/GetTlsKey', '{"subject":"soak"}'],
  ['POST', '/Nope', '{}'],
  ['POST', '/GetKey', '{broken'],
] as const;
const PUBLIC = [
  ['GET', '/', ''],
  ['GET', '/readyz', ''],
  ['GET', '/metrics', ''],
  ['GET', '/prpc/Worker.Version', ''],
  ['GET', '/logs/none?text=1', ''],
  ['GET', '/missing', ''],
] as const;

const agent = await startAgent();
const { guest, pid } = agent;
const samples: { memory: number; fds: number }[] = [];
const silent: Socket[] = [];
const timer = setInterval(() => {
  samples.push({ memory: residentMB(pid), fds: descriptors(pid) });
  const { memory, fds } = samples.at(-1) as (typeof samples)[number];
  console.log(`  ${String(samples.length * 10).padStart(5)} s  ${memory.toFixed(1)} MB  ${fds} descriptors`);
  for (let i = 0; i < 50; i++) {
    const socket = connect(guest.dstackSock);
    socket.on('error', () => {});
    socket.write('POST /GetKey HTTP/1.1\r\nContent-Le'); // never goes on
    silent.push(socket);
  }
}, 10_000);
try {
  console.log(`${minutes} minutes of mixed load`);
  const common = { milliseconds };
  const reports = await Promise.all([
    run({ ...common, target: guest.dstackSock, connections: 8, mix: APP }),
    run({ ...common, target: guest.dstackSock, connections: 8, mix: APP, churn: 1 }),
    run({ ...common, target: guest.port, connections: 4, mix: PUBLIC, churn: 3 }),
  ]);
  clearInterval(timer);
  for (const socket of silent) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const [kept, fresh, open] = reports;
  for (const [name, report] of [
    ['kept', kept],
    ['ever new', fresh],
    ['public port', open],
  ] as const)
    console.log(
      `  ${name.padEnd(12)} ${report?.requests} requests, p99 ${report?.p99} ms, slowest ${report?.max.toFixed(0)} ms`,
    );
  const middle = samples[samples.length >> 1];
  console.log(
    `  memory: middle ${middle?.memory.toFixed(1)} MB, end ${residentMB(pid).toFixed(1)} MB; ` +
      `descriptors: first ${samples[0]?.fds}, middle ${middle?.fds}, after the load ${descriptors(pid)}`,
  );
} finally {
  clearInterval(timer);
  await agent.stop();
}
