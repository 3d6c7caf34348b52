/** Checks of evidence in a running VM, for any test whose guest has finished its setup. They change RTMR3. */
import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { measureWithTools, replays } from '../../initramfs/vm/checks.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { decodeVersioned, tdxQuote } from '../../src/tdx/attestation.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { fails } from './support.ts';
import { verifyMockQuote } from './verify-quote.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const measure = (vm: Machine) => measureWithTools(vm, { app_id: '', instance_id: '' });

/**
 * Many processes measure many events at once: all are in the log, each process's own in their order, and the log replays
 * to the register. The processes are the product's code on the product's runtime: the binary plays plain bun.
 */
export async function manyEmitters(vm: Machine, processes: number, events: number): Promise<void> {
  const built = spawnSync(BUN, ['build', '--target=bun', '--minify', 'test/vm/emit-many.ts'], { maxBuffer: 1 << 24 });
  expect(built.status, built.stderr.toString()).toBe(0);
  const before = await measure(vm);
  const script = gzipSync(built.stdout).toString('base64');
  await vm.ok(`base64 -d <<'END' | gzip -d >/tmp/emit.js\n${script}\nEND`);
  await vm.ok(
    `export BUN_BE_BUN=1; for p in $(seq ${processes}); do dstack-util run /tmp/emit.js $p ${events} & done; ` +
      'for job in $(jobs -p); do wait $job || exit 1; done',
    { timeoutMs: 800_000 },
  );
  const after = await measure(vm);
  expect(replays(after)).toBe(true);
  const fresh = after.events.slice(before.events.length);
  expect(fresh).toHaveLength(processes * events);
  for (let p = 1; p <= processes; p++) {
    const own = fresh.filter((name) => name.startsWith(`many-${p}-`));
    expect(own).toEqual(Array.from({ length: events }, (_, index) => `many-${p}-${index}`));
  }
}

/** With a port in /etc/tdx-attest.conf the quote comes from the service on vsock, and it is as good as the kernel's. */
export async function quoteService(vm: Machine): Promise<void> {
  await vm.ok('modprobe vsock_loopback');
  await vm.ok('systemd-run --unit=qgs dstack-sim qgs --port 4050');
  await vm.ok('until journalctl -u qgs | grep -q "answers at vsock port"; do sleep 0.2; done');
  await vm.ok('echo "port = 4050" >/etc/tdx-attest.conf');
  try {
    const { stdout, stderr, exit } = await vm.sh(
      'head -c 64 /dev/zero | tr "\\0" "\\7" | RUST_LOG=debug dstack-util quote | base64 -w0',
    );
    expect(exit, stderr).toBe(0);
    expect(stderr).toContain('from the quote service at vsock port 4050');
    const report = verifyMockQuote(Buffer.from(stdout, 'base64'));
    expect(Buffer.from(report.reportData).equals(Buffer.alloc(64, 7))).toBe(true);
    await vm.ok('systemctl stop qgs');
    const again = await vm.sh('head -c 64 /dev/zero | RUST_LOG=debug dstack-util quote | base64 -w0');
    expect(again.stderr).toContain('configfs is used');
    verifyMockQuote(Buffer.from(again.stdout, 'base64'));
  } finally {
    await vm.ok('rm /etc/tdx-attest.conf; systemctl stop qgs 2>/dev/null || true');
  }
}

/** The attest commands and `show`, with the agent as the witness. */
export async function attestCommands(vm: Machine, info: { app_id: string; instance_id: string }): Promise<void> {
  const hex = await vm.ok('dstack-util attest --report-data 0xabcd --hex');
  const { attestation } = decodeVersioned(Buffer.from(hex.trim(), 'hex'));
  const report = verifyMockQuote(tdxQuote(attestation));
  expect(Buffer.from(report.reportData).toString('hex')).toBe('abcd'.padEnd(128, '0'));
  expect(Buffer.from(replayRuntime(attestation.runtimeEvents)).equals(Buffer.from(report.rtMr3))).toBe(true);
  const app = decodeAppInfo(attestation);
  expect(Buffer.from(app.appId).toString('hex')).toBe(info.app_id);
  const { attestation: request } = JSON.parse(await vm.ok('dstack-util quote-report'));
  expect(decodeAppInfo(decodeVersioned(Buffer.from(request, 'hex')).attestation)).toEqual(app);
  const shown = JSON.parse(await vm.ok('dstack-util show'));
  expect(shown).toMatchObject({
    app_id: info.app_id,
    instance_id: info.instance_id,
    mr_aggregated: Buffer.from(app.mrAggregated).toString('hex'),
  });
  const text = await vm.ok('cd /tmp && dstack-util attest && dstack-util attest-strip && dstack-util attest-info');
  expect(text).toMatch(/^file: attestation\.bin\ntotal_bytes: \d+\nversion: V0\nmode: DstackTdx\n/m);
}

/** Something else extends the register: nothing more is measured, and the error says why. The evidence is broken after it. */
export async function foreignMeasurement(vm: Machine): Promise<void> {
  await vm.ok('head -c 48 /dev/zero >/sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384');
  const before = await vm.ok('cat /run/log/dstack/runtime_events.log');
  const stderr = await fails(vm, 'dstack-util extend -e after -p 00', 'EVENT_LOG_DIVERGED');
  expect(stderr).toContain('/run/log/dstack/runtime_events.log');
  expect(await vm.ok('cat /run/log/dstack/runtime_events.log')).toBe(before);
}
