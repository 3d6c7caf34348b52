/** `verify`: judges the evidence of a guest offline. Exit status 0 valid, 1 invalid, 2 wrong usage, 3 could not be checked. */
import type { Command } from 'commander';
import { parseRfc3339 } from '../codec/rfc3339.ts';
import { ACCEPTABLE_STATUSES } from '../config/tcb-status.ts';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import {
  loadCollateralSource,
  loadInputs,
  loadReportJson,
  loadReportText,
  loadVerification,
} from '../verify/verify.ts';
import { collect } from './collect.ts';
import { offering } from './offered-values.ts';
import { predictionOptions } from './prediction-options.ts';
import type { DemandOptions } from './verify-demands.ts';
import { initOptions } from './verify-init-options.ts';

interface Options extends DemandOptions {
  readonly collateral?: string;
  readonly at?: string;
  readonly eventLog?: string;
  readonly json?: boolean;
}

export default function define(command: Command): void {
  // options behind `init` are its own, for which the program must not sort them out of order either
  command.parent?.enablePositionalOptions();
  command.enablePositionalOptions().helpCommand(false);
  initOptions(
    predictionOptions(
      command
        .command('init')
        .description('make an expectation file of an app and an image')
        .argument('[file]', 'the app’s app-compose.json, byte for byte as it is deployed', 'app-compose.json'),
    ),
  ).action(async (file, options) => (await import('./verify-init.ts')).init(file, options));
  command
    .argument('<file>', 'evidence: quote, GetQuote answer, attestation or RA-TLS certificate; - for stdin')
    .option(
      '--collateral <file|url>',
      'DCAP collateral as a JSON file, or the address of a PCCS or PCS (default: what was fetched before)',
    )
    .option('--root-ca <pem>', 'trust this root certificate instead of Intel’s')
    .option('--at <rfc3339>', 'judge as of this time instead of now')
    .option('--expect-file <file>', 'demand all that this expectation file says (made by `verify init`)')
    .option('--expect <name=value>', 'demand a value; may be repeated', collect, [])
    .option(
      '--expect-measure <file>',
      'demand what `measure --json` predicted: events of the app, registers of the system',
    )
    .option('--any-app', 'accept a genuine machine whatever app it runs')
    .option('--image <dir>', 'demand the operating system of this image folder')
    .option('--image-measurement <file>', 'the same from the measurement.tdx.cbor of the image')
    .option('--checksum-file <file>', 'sha256sum.txt of the image (default: the one beside the measurement document)')
    .option('--vm-config <file>', 'shape of the VM as JSON, instead of the vm_config in the evidence')
    .addOption(
      offering('--allow-tcb <status>', 'accept this TCB status besides UpToDate; may be repeated', ACCEPTABLE_STATUSES)
        .argParser(collect)
        .default([]),
    )
    .option('--allow-unencrypted-storage', 'accept a guest whose data disk is not encrypted')
    .option('--event-log <file>', 'event log as JSON, for a quote that comes without one')
    .option('--json', 'print everything as JSON')
    .addHelpText(
      'after',
      `
--expect takes app-id, compose-hash, instance-id, device-id, os-image-hash, mr-system, mr-aggregated, mrtd, rtmr0 to
rtmr3, mr-config-id, mr-owner, mr-owner-config, mr-seam, td-attributes, report-data (hex), key-provider=NAME[:HEX], and
"event NAME=HEX" for a measured event.
Which app is expected must be said: by its app-id or compose-hash, by a prediction, or by rtmr3, mr-aggregated or
mr-config-id of evidence with an event log. Without it the exit status is 3, or 0 with --any-app.
Exit status: 0 valid, 1 invalid, 2 wrong usage, 3 could not be checked (no app named, no file, unreadable evidence, no
usable collateral, another platform).`,
    )
    .action(run);
}

/** Marks of the checks, of the parts that are proven, and the verdict. */
const SIGNS = {
  good: /^ {2}(ok)(?= {2,})|^(?:machine|system|app|fresh) +(proven)\b|^verdict +(valid)\b/,
  bad: /^ {2}(FAIL)(?= )|^(?:machine|system|app|fresh) +(CONTRADICTED)\b|^verdict +(INVALID)\b|^ {8}\^ .*/,
  warn: /^ {2}(\?)(?= )|^(?:machine|system|app|fresh) +(not proven)\b|^verdict +(NOT CHECKED)\b/,
} as const;

const paint = (line: string): string =>
  (['good', 'bad', 'warn'] as const).reduce((text, style) => ui.paintMatch(text, SIGNS[style], style), line);

async function run(file: string, options: Options): Promise<void> {
  const { demandsOf } = await import('./verify-demands.ts');
  const { collateralFrom } = await loadCollateralSource();
  const { readInput } = await loadInputs();
  const { verifyEvidence } = await loadVerification();
  const { reportJson } = await loadReportJson();
  const { reportText, verdictReason } = await loadReportText();
  const at = timeOf(options.at);
  const { anchor, ...demands } = await demandsOf(options);
  const { certificate: root } = anchor;
  const report = await verifyEvidence(await readInput(file), {
    ...demands,
    root,
    at,
    collateral: collateralFrom({ from: options.collateral, root }),
    eventLog: options.eventLog === undefined ? undefined : await readInput(options.eventLog),
  });
  const context = { at, root: { name: anchor.name, sha256: anchor.sha256, intel: anchor.intel } };
  ui.result(reportJson(report, context), {
    json: options.json,
    text: () => reportText(report, context, process.stdout.isTTY ? process.stdout.columns : undefined),
    paint,
  });
  if (report.verdict === 'valid') return;
  const code = report.verdict === 'invalid' ? 'EVIDENCE_INVALID' : 'EVIDENCE_UNCHECKED';
  process.exitCode = ui.reportFailure(
    new DstackError(
      code,
      `${file} ${report.verdict === 'invalid' ? 'is refused' : 'could not be checked'}: ${verdictReason(report)}`,
      { path: file },
    ),
  );
}

/** Milliseconds of a time with its zone. @throws INPUT_INVALID */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Date.now();
  const time = parseRfc3339(text);
  if (time !== undefined) return time;
  throw new DstackError('INPUT_INVALID', `--at ${JSON.stringify(text)} is not a time`, {
    field: '--at',
    value: text,
    hint: 'RFC 3339 with a zone, for example 2026-01-31T12:00:00Z',
  });
}
