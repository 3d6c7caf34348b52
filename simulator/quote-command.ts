/** `dstack-sim quote`: a quote of a guest that never ran, with the registers one asks for. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { fromHex, toHex } from '../src/codec/hex.ts';
import { parseAppCompose } from '../src/config/app-compose.ts';
import { DstackError } from '../src/errors.ts';
import { parseCcel } from '../src/tdx/ccel.ts';
import type { EventVersion, RuntimeEvent } from '../src/tdx/events.ts';
import { quoteLogJson } from '../src/tdx/log-json.ts';
import { replay, replayRuntime } from '../src/tdx/replay.ts';
import { toTdxEvent } from '../src/tdx/tdx-event.ts';
import * as ui from '../src/ui.ts';
import { paperEvents } from './canned-evidence.ts';
import { mockCcel } from './mock-ccel.ts';
import { mockQuote } from './mock-quote.ts';
import { mockPki } from './pki.ts';
import { MOCK_MRTD } from './quoting-enclave.ts';

interface Options {
  readonly seed: string;
  readonly reportData: string;
  readonly mrtd?: string;
  readonly appCompose?: string;
  readonly event: string[];
  readonly eventVersion: '1' | '2';
  readonly json?: boolean;
  readonly out?: string;
}

const collect = (value: string, before: string[]): string[] => [...before, value];

export function defineQuote(command: Command, seed: readonly [string, string, string]): void {
  command
    .description('make a quote that verifies against the root certificate of this seed')
    .option(...seed)
    .option('--report-data <hex>', 'up to 64 bytes, padded with zeros', '')
    .option('--mrtd <hex>', '48 bytes instead of the simulated firmware’s')
    .option('--app-compose <file>', 'measure the boot of this app into RTMR3')
    .option('--event <name=hex>', 'measure this event after the boot; may be repeated', collect, [])
    .option('--event-version <version>', 'digest form of the events, 1 or 2', '1')
    .option('--json', 'print what GetQuote would answer instead of the raw quote')
    .option('--out <file>', 'write to a file instead of stdout')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const seed = fromHex(options.seed, { field: '--seed', prefix: true, length: 32 });
  const reportData = paddedReportData(options.reportData);
  const version: EventVersion = options.eventVersion === '2' ? 2 : 1;
  const events = await measured(options, seed, version);
  const firmware = parseCcel(mockCcel());
  const quote = mockQuote(mockPki(seed), {
    mrtd: options.mrtd === undefined ? MOCK_MRTD : fromHex(options.mrtd, { field: '--mrtd', prefix: true, length: 48 }),
    rtmrs: [replay(firmware, 0), replay(firmware, 1), replay(firmware, 2), replayRuntime(events)],
    reportData,
  });
  const answer = {
    quote: toHex(quote),
    event_log: quoteLogJson([...firmware, ...events.map(toTdxEvent)]),
    report_data: toHex(reportData),
    vm_config: '',
  };
  const output = options.json ? `${JSON.stringify(answer)}\n` : quote;
  if (options.out === undefined) await ui.output(output);
  else await writeFile(options.out, output);
}

async function measured(options: Options, seed: Uint8Array, version: EventVersion): Promise<RuntimeEvent[]> {
  const boot =
    options.appCompose === undefined
      ? []
      : paperEvents(
          parseAppCompose(new Uint8Array(await readFile(options.appCompose)), options.appCompose),
          seed,
          version,
        );
  const later = options.event.map((text) => {
    const at = text.lastIndexOf('=');
    const usage = () =>
      new DstackError('INPUT_INVALID', `--event ${text} is not NAME=HEX`, { field: '--event', value: text });
    if (at < 1) throw usage();
    return {
      event: text.slice(0, at),
      payload: fromHex(text.slice(at + 1), { field: '--event', prefix: true }),
      version,
    };
  });
  return [...boot, ...later];
}

function paddedReportData(text: string): Uint8Array {
  const bytes = fromHex(text, { field: '--report-data', prefix: true });
  if (bytes.length > 64) {
    throw new DstackError('REPORT_DATA_INVALID', `report data has ${bytes.length} bytes, more than 64`, {
      field: '--report-data',
    });
  }
  const out = new Uint8Array(64);
  out.set(bytes);
  return out;
}
