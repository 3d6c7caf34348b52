/** Without docker the app cannot start: that is told, and everything before it still works, evidence above all. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentCall } from '../../initramfs/vm/checks.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { countsRestarts } from './boot-failed.ts';
import { attestCommands, foreignMeasurement, manyEmitters, quoteService } from './evidence.ts';
import { checkerAttacked, checkerSandbox, shutdownByHost } from './sandbox.ts';
import { boot, payloads, THAWED } from './support.ts';

let vm: Machine;
beforeAll(async () => {
  vm = await boot('no-docker', THAWED);
  await vm.ok('systemctl mask --runtime docker.service docker.socket', { timeoutMs: 120_000 });
  await vm.ok('systemctl start --no-block multi-user.target');
});
afterAll(() => vm?.stop());

it('reports the missing docker to the host, once, with its code', async () => {
  const { payload } = await vm.waitFor({ event: 'boot.error' }, 840_000);
  expect(payload).toContain('[DOCKER_UNAVAILABLE]');
  expect(payloads(vm, 'boot.progress')).toContain('data disk ready');
  expect(payloads(vm, 'boot.progress')).not.toContain('done');
});

it('serves keys nevertheless', async () => {
  const { key } = await agentCall<{ key: string }>(vm, 'GetKey', { path: 'p' });
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(await vm.ok('systemctl show -P Result app-compose.service')).toBe('exit-code');
});

it('gives evidence on the command line', async () => {
  await attestCommands(vm, await agentCall<{ app_id: string; instance_id: string }>(vm, 'Info'));
});

it('takes quotes from the service of the host where one is configured', () => quoteService(vm));

it('runs the gateway checker in a sandbox that lets it do its work, and little else', () => checkerSandbox(vm));

it('leaves the gateway checker no way to become root of the machine', () => checkerAttacked(vm), 500_000);

// a thousand events take minutes under emulation: test/tdx/event-emitters.bun.test.ts has as many on a register of its own
it('keeps log and register in step when 20 processes measure 5 events each', () => manyEmitters(vm, 20, 5), 900_000);

it('measures nothing more when something else has extended the register', () => foreignMeasurement(vm));

it('restarts three times after failed boots, not a fourth time', () => countsRestarts(vm));

it('powers off when the host asks the agent to', () => shutdownByHost(vm));
