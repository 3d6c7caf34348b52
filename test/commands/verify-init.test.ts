/** `verify init` and `measure --out`: from an app's document and an image to a judged answer, in two commands. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { pemChain } from '../../simulator/pki.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import type { SystemPrediction } from '../../src/os-image/os-image.ts';
import type { RuntimeEvent } from '../../src/tdx/events.ts';
import { quoteLogJson } from '../../src/tdx/log-json.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';
import { run } from '../run-main.ts';
import { COLLATERAL, PKI } from '../verify/guest.ts';
import { FILES, fromDocument, fromImage, logOf, vmConfigOf, writeImageFolder } from '../verify/system-fixture.ts';

let dir: string;
const path = (name: string): string => join(dir, name);
const NONCE = 'a5'.repeat(32);
const INSTANCE = '04'.repeat(20);
const SHAPE = ['--memory', '4G', '--cpus', '2', '--qemu-version', '9.2.1'];
const trust = (): string[] => ['--collateral', path('collateral.json'), '--at', '2026-03-01T12:00:00Z'];

interface Event {
  readonly event: string;
  readonly payload: string;
}

/** The answer of a guest that measured these events on this system. */
function answerOf(events: readonly Event[], measured: SystemPrediction): string {
  const runtime = events.map(({ event, payload }): RuntimeEvent => ({ event, payload: fromHex(payload), version: 1 }));
  const registers = measured.rtmrs.map(({ value }) => value ?? new Uint8Array(48));
  const reportData = Uint8Array.from([...fromHex(NONCE), ...new Uint8Array(32)]);
  const rtmrs = [...registers, replayRuntime(runtime)];
  return JSON.stringify({
    quote: toHex(mockQuote(PKI, { mrtd: measured.mrtd.value, rtmrs, reportData })),
    event_log: quoteLogJson([...logOf(measured), ...runtime.map(toTdxEvent)]),
    vm_config: JSON.stringify({ ...vmConfigOf(FILES), tdx_measurement: undefined }),
  });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'verify-init-'));
  writeImageFolder(path('image'), FILES);
  writeFileSync(path('root.pem'), pemChain(PKI.root));
  writeFileSync(path('collateral.json'), JSON.stringify(COLLATERAL));
  writeFileSync(path('app-compose.json'), '{"manifest_version":2,"name":"x","runner":"bash"}');
  writeFileSync(path('other.json'), '{"manifest_version":2,"name":"y","runner":"bash"}');
  const { stdout } = await run('measure', path('app-compose.json'), '--instance-id', INSTANCE, '--json');
  const { events } = JSON.parse(stdout) as { events: Event[] };
  writeFileSync(path('answer.json'), answerOf(events, fromImage(FILES)));
  writeFileSync(path('lite.json'), answerOf(events, fromDocument(FILES)));
});
afterAll(() => rmSync(dir, { recursive: true }));

const init = (out: string, ...args: string[]) => run('verify', 'init', ...args, '--out', path(out));
const judge = (answer: string, file: string, ...args: string[]) =>
  run('verify', path(answer), '--expect-file', path(file), ...trust(), ...args);
const proofOf = ({ stdout }: { stdout: string }): string[] =>
  Object.values((JSON.parse(stdout) as { proof: Record<string, { state: string }> }).proof).map(({ state }) => state);

describe('verify init', () => {
  it('makes a file that proves machine, system, app and freshness', async () => {
    const made = await init(
      'full.json',
      path('app-compose.json'),
      '--root-ca',
      path('root.pem'),
      '--image',
      path('image'),
      ...SHAPE,
    );
    expect([made.exit, made.stderr]).toEqual([0, '']);
    expect(statSync(path('full.json')).mode & 0o777).toBe(0o644);
    const judged = await judge('answer.json', 'full.json', '--expect', `report-data=${NONCE}`, '--json');
    expect([judged.exit, judged.stderr]).toEqual([0, '']);
    expect(proofOf(judged)).toEqual(['proven', 'proven', 'proven', 'proven']);
  });

  it('without a shape takes the measurement document, which fits every one', async () => {
    const source = ['--image-measurement', path('image/measurement.tdx.cbor')];
    await init('lite-file.json', path('app-compose.json'), '--root-ca', path('root.pem'), ...source);
    const file = JSON.parse(readFileSync(path('lite-file.json'), 'utf8'));
    expect(Object.keys(file.image)).toEqual(['os_image_hash', 'measurement']);
    const judged = await judge('lite.json', 'lite-file.json', '--expect', `report-data=${NONCE}`, '--json');
    expect([judged.exit, proofOf(judged)]).toEqual([0, ['proven', 'proven', 'proven', 'proven']]);
  });

  it('names an image whose firmware no document stands for', async () => {
    const { exit, stderr } = await init('no.json', path('app-compose.json'), '--image', path('image'));
    expect([exit, stderr]).toEqual([2, expect.stringMatching(/has no measurement document[\s\S]*hint: give --memory/)]);
  });

  it('of another app, or asked without report data or by another root, is not a proof', async () => {
    const root = ['--root-ca', path('root.pem')];
    await init('other-app.json', path('other.json'), ...root);
    const other = await judge('answer.json', 'other-app.json', '--expect', `report-data=${NONCE}`);
    expect([other.exit, other.stderr]).toEqual([1, expect.stringContaining('first drift at event 2 (app-id)')]);
    await init('app.json', path('app-compose.json'), ...root);
    expect(await judge('answer.json', 'app.json')).toMatchObject({ exit: 2, stdout: '' });
    const old = await judge('answer.json', 'app.json', '--expect', 'report-data=01');
    expect([old.exit, old.stdout]).toEqual([1, expect.stringMatching(/^fresh {7}CONTRADICTED/m)]);
    await init('intel.json', path('app-compose.json'), '--no-fresh');
    const foreign = await judge('answer.json', 'intel.json', ...root);
    expect([foreign.exit, foreign.stderr]).toEqual([2, expect.stringContaining('demands Intel’s root')]);
    expect((await judge('answer.json', 'intel.json')).exit).toBe(1);
  });

  it('prints it without --out, and `measure --out` writes the same', async () => {
    const { stdout, exit } = await run('verify', 'init', path('app-compose.json'));
    await run('measure', path('app-compose.json'), '--out', path('measured.json'));
    expect([exit, readFileSync(path('measured.json'), 'utf8')]).toEqual([0, stdout]);
    expect(JSON.parse(stdout)).toMatchObject({ version: 1, report_data: 'required' });
  });

  it('is no obstacle for a file of that name, and a bad file is named with its field', async () => {
    writeFileSync(path('init'), '{"version":1,"app":{"app-id":"00"}}');
    const { exit, stderr } = await judge('answer.json', 'init');
    expect([exit, stderr]).toEqual([
      3,
      expect.stringMatching(/EVIDENCE_UNCHECKED[\s\S]*field app\.app-id is unknown[\s\S]*field app\.app-id/),
    ]);
    const judged = await run('verify', path('init'), '--any-app', ...trust());
    expect([judged.exit, judged.stdout]).toEqual([3, expect.stringContaining('neither a quote nor an attestation')]);
  });
});
