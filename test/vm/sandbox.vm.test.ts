/**
 * The sandboxes of the units under the image's own systemd, without a VM: every way out that root has on a machine is tried
 * from inside, and what the agent is there for works all the same.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentAttacked, checkerAttacked, dockerViewed } from './sandbox.ts';
import { UnitRoom } from './unit-room.ts';

const SOON = { timeout: 30_000, interval: 500 };
const VIEW = '/run/dstack-docker-view/docker.sock';
let room: UnitRoom;
beforeAll(async () => {
  room = await UnitRoom.create();
  await room.startContainer('web', '--env TOKEN=planted-secret', 'echo hello; sleep 1000');
});
afterAll(() => room?.close());

const get = (path: string) => room.ok(`curl -sS -m 20 'http://127.0.0.1:8090${path}'`);
const call = (socket: string, method: string) =>
  room.ok(
    `curl -sS -m 20 --unix-socket ${socket} -H 'content-type: application/json' -d '{"path":"a"}' http://d/${method}`,
  );

/** What the agent is there for. */
async function works(): Promise<void> {
  const { key } = JSON.parse(await call('/run/dstack.sock', 'GetKey')) as { key: string };
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.parse(await call('/run/dstack/scoped/web.sock', 'GetKey'))).toMatchObject({ key: expect.any(String) });
  // from docker's list, and from its details: this machine counts no memory of containers
  await expect.poll(() => get('/metrics'), SOON).toContain('dstack_container_restarts_total{name="web"} 0');
  expect(await get('/metrics')).toMatch(/dstack_container_running\{name="web"\} 1/);
  expect(JSON.parse(await get('/readyz'))).toMatchObject({ containers: { running: 1, list: [{ name: 'web' }] } });
  expect(await get('/logs/web?text&bare')).toBe('hello');
}

it('serves keys, figures and logs', works);

it('asks docker through a view that shows containers and nothing else', async () => {
  await dockerViewed(room, 'web');
  const list = await room.ok(`curl -sS --unix-socket ${VIEW} 'http://d/containers/json?all=1'`);
  expect(JSON.parse(list)).toMatchObject([{ Names: ['/web'], State: 'running' }]);
});

it('leaves the agent no way to become root of the machine, and it works again afterwards', async () => {
  await agentAttacked(room);
  await works();
});

it('leaves the gateway checker no way to become root of the machine', () => checkerAttacked(room));

it('ends the view when nobody asks, and starts it again for the next question', async () => {
  const folder = '/run/systemd/system/dstack-docker-view.service.d';
  const start = 'ExecStart=\\nExecStart=/usr/bin/dstack-util docker-view --docker-socket /run/docker.sock --idle 2';
  await room.ok(`mkdir -p ${folder}; printf '[Service]\\n${start}\\n' >${folder}/room.conf; systemctl daemon-reload`);
  await room.ok('systemctl stop dstack-docker-view.service');
  const process = () => room.ok('systemctl show -P MainPID dstack-docker-view.service');
  const seen = new Set<string>();
  for (let round = 0; round < 2; round++) {
    expect(await get('/logs/web?text&bare')).toBe('hello');
    seen.add(await process());
    await expect.poll(process, { timeout: 20_000 }).toBe('0');
  }
  expect([seen.size, seen.has('0')]).toEqual([2, false]);
});

it('says that docker is away, and finds it again when it is back with another socket', async () => {
  await room.ok('systemctl stop docker.socket docker.service');
  expect(await get('/logs/web?text&bare')).toMatch(/docker does not answer/);
  await room.ok('systemctl start docker.socket docker.service; docker start web');
  await expect.poll(() => get('/logs/web?text&bare&tail=1'), SOON).toBe('hello');
});
