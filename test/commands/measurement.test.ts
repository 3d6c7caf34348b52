/** The commands around measurement and quotes, started as a person starts them, on a machine without TDX. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { toHex } from '../../src/codec/hex.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { replay } from '../../src/tdx/replay.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'measurement-'));
  writeFileSync(join(root, 'CCEL'), mockCcel());
});
afterAll(() => rmSync(root, { recursive: true }));

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function util(args: readonly string[], stdin: Uint8Array = new Uint8Array()): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(BUN, ['bin/dstack-util.ts', ...args], {
      env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1', DSTACK_CCEL_FILE: join(root, 'CCEL') },
    });
    const out: Outcome = { status: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => (out.stdout += chunk));
    child.stderr.on('data', (chunk) => (out.stderr += chunk));
    child.on('error', reject);
    child.on('close', (status) => resolve({ ...out, status }));
    child.stdin.on('error', () => {}); // a child that has read enough closes its end
    child.stdin.end(stdin);
  });
}

const bare = !existsSync('/dev/tdx_guest') && !existsSync('/run/log/dstack/runtime_events.log');

describe.runIf(bare)('without a TEE', () => {
  it('eventlog prints the firmware events as pretty JSON without a trailing newline', async () => {
    const { status, stdout } = await util(['eventlog']);
    expect(status).toBe(0);
    const events = JSON.parse(stdout);
    expect(events).toHaveLength(19);
    expect(stdout).toBe(JSON.stringify(events, null, 2));
    expect(events[8]).toMatchObject({ imr: 0, event_type: 10, event: 'acpi-loader' });
  });

  it('replay-imr prints four registers as text and as JSON', async () => {
    const registers = [0, 1, 2, 3].map((imr) => toHex(replay(parseCcel(mockCcel()), imr)));
    const [text, json] = await Promise.all([util(['replay-imr']), util(['replay-imr', '--json'])]);
    const lines = text.stdout.split('\n');
    expect(lines[1]).toBe('');
    expect(lines[2]).toBe('Total events: 19');
    expect(lines.filter((line) => line.includes('→'))).toEqual(
      registers.map((value, imr) => `IMR ${imr} (CCEL) → ${value}`),
    );
    expect(JSON.parse(json.stdout)).toEqual({
      version: 1,
      total_events: 19,
      registers: registers.map((value, imr) => ({ imr, events: [12, 5, 2, 0][imr], value })),
    });
  });

  it.each([0, 63, 65, 5000])('quote refuses %i bytes on stdin', async (size) => {
    const { status, stdout, stderr } = await util(['quote'], new Uint8Array(size));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`error [INPUT_INVALID]: stdin has ${size > 64 ? 'more than 64' : size} bytes`);
  });

  it('quote, show and extend name what is missing', async () => {
    const [quote, show, extend] = await Promise.all([
      util(['quote'], new Uint8Array(64)),
      util(['show']),
      util(['extend', '-e', 'x', '-p', '']),
    ]);
    expect(quote.stderr).toContain('error [TEE_NOT_FOUND]');
    expect(show.stderr).toContain('error [TEE_NOT_FOUND]');
    expect(extend.stderr).toContain('error [EVENT_VERSION_MISSING]');
    expect([quote.status, show.status, extend.status]).toEqual([1, 1, 1]);
    expect(quote.stdout + show.stdout + extend.stdout).toBe('');
  });
});

describe('arguments of extend', () => {
  it.each([
    [['-p', '00'], 'USAGE', 2],
    [['-e', 'x'], 'USAGE', 2],
    [['-e', 'x', '-p', '0'], 'HEX_INVALID', 2],
    [['-e', 'x', '-p', '0x0xzz'], 'HEX_INVALID', 2],
  ])('%j: %s', async (args, code, status) => {
    const outcome = await util(['rtmr-extend', ...args]);
    expect(outcome.status).toBe(status);
    expect(outcome.stderr).toContain(`error [${code}]`);
  });
});
