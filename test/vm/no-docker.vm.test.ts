/** Without docker the app cannot start: that is told, and everything before it still works. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentCall } from '../../initramfs/vm/checks.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { boot, NOTHING_STARTED, payloads } from './support.ts';

let vm: Machine;
beforeAll(async () => {
  vm = await boot('no-docker', { kernelArgs: NOTHING_STARTED });
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
