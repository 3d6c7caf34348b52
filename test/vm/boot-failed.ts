/** What a guest does after a failed boot, tried in one whose data disk is open. */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';

/** Three failures restart, the fourth stops; a good boot would forget them. Nothing is really restarted: the targets are masked. */
export async function countsRestarts(vm: Machine): Promise<void> {
  await vm.ok('systemctl mask --runtime reboot.target halt.target', { timeoutMs: 60_000 });
  const failed = `{"sequence":"setup","phase":"request app keys","start":"2026-01-01T00:00:00Z","durationMs":1,"events":[],"outcome":"failed","error":"no KMS answered [KMS_UNREACHABLE]"}`;
  await vm.ok(`echo '${failed}' >/run/failed.jsonl`);
  const fail = () => vm.ok('dstack-util boot-failed --file /run/failed.jsonl');
  for (const n of [1, 2, 3]) {
    const dry = await vm.ok('dstack-util boot-failed --file /run/failed.jsonl --dry-run --json');
    expect(JSON.parse(dry)).toMatchObject({ action: 'restart', restart: n, code: 'KMS_UNREACHABLE' });
    expect(await fail()).toContain(`restarting, ${n} of at most 3 times`);
  }
  expect(await fail()).toContain('stopping: 3 restarts in a row did not help');
  // what the service manager was asked for, in its own words
  const refused = () =>
    vm.ok("journalctl -b _PID=1 --no-pager -o cat | grep -oP 'job for \\K\\w+(?=.target: .* is masked)'");
  await expect.poll(refused, { timeout: 30_000 }).toBe('reboot\nreboot\nreboot\nhalt');
  // the volume beside the record is as it was
  expect(await vm.ok('dstack-util fde status --json')).toContain('"dstack-data"');
  await vm.ok('systemctl unmask --runtime reboot.target halt.target', { timeoutMs: 60_000 });
}

/** The unit halts a guest whose failure no restart mends, with the reason as the last words on the console. */
export async function haltsWithReason(vm: Machine, code: string): Promise<void> {
  await vm.ok('systemctl start --no-block dstack-boot-failed.service');
  await expect.poll(() => vm.console.text, { timeout: 120_000, interval: 1000 }).toMatch(/System halted/);
  const text = vm.console.text;
  expect(text).toMatch(new RegExp(`the boot failed in prepare: [^\\n]*\\[${code}\\]`));
  expect(text).toContain('stopping: a restart does not repair this');
}
