/**
 * `measure`: predicts compose hash, app id and RTMR3 of an app without booting it, and MRTD and RTMR0 to RTMR2 of the system
 * below it.
 */
import type { Command } from 'commander';
import { toHex } from '../codec/hex.ts';
import type { PredictedEvent, Prediction } from '../tdx/predict-app.ts';
import * as ui from '../ui.ts';
import { type PredictionOptions, predictionOptions } from './prediction-options.ts';

interface Options extends PredictionOptions {
  readonly out?: string;
  readonly json?: boolean;
}

export default function define(command: Command): void {
  predictionOptions(
    command.argument(
      '[file]',
      'the app’s app-compose.json, byte for byte as it is deployed (default: app-compose.json, or no app when an image is named)',
    ),
  )
    .option('--out <file>', 'write an expectation file for `verify --expect-file`, too')
    .option('--json', 'print JSON instead of text')
    .addHelpText(
      'after',
      `
Values that only the running guest knows are named; RTMR3 is known as far as they are given.
With an image its checksum file is checked first, its hash stands for --os-image-hash and its command line for --cmdline.
RTMR0 needs the digests of the ACPI tables, which the host makes for each VM: only its event log tells them.`,
    )
    .action(run);
}

async function run(file: string | undefined, options: Options): Promise<void> {
  const { asksForSystem, predictedImage, predictSystem, systemResult, systemText } = await import(
    './measure-system.ts'
  );
  const { predictionJson } = await import('../tdx/prediction-json.ts');
  const system = asksForSystem(options) ? await predictSystem(options) : undefined;
  const { predictApp } = await import('./measure-app.ts');
  const app = system !== undefined && file === undefined ? undefined : await predictApp(file, options, system);
  if (options.out !== undefined) {
    const { expectationDocument, writeExpectations } = await import('./expectation-document.ts');
    const image = system === undefined ? undefined : predictedImage(system);
    await writeExpectations(options.out, expectationDocument({ app, image, fresh: true }));
  }
  ui.result(
    {
      ...(app === undefined ? {} : predictionJson(app)),
      ...(system === undefined ? {} : { system: systemResult(system) }),
    },
    {
      json: options.json,
      text: () => [
        ...(app === undefined ? [] : predictionText(app)),
        ...(app === undefined || system === undefined ? [] : ['']),
        ...(system === undefined ? [] : systemText(system)),
      ],
    },
  );
}

const DIGITS = 16;

function row({ event, payload, digest, register }: PredictedEvent): string {
  const short = (bytes: Uint8Array | undefined) => (bytes === undefined ? '?' : `${toHex(bytes).slice(0, DIGITS)}…`);
  const text = payload === undefined ? '?' : payload.length === 0 ? '-' : toHex(payload);
  const shown = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  return `  ${event.padEnd(20)} ${shown.padEnd(40)}  ${short(digest).padEnd(DIGITS + 1)}  ${short(register)}`;
}

function predictionText(prediction: Prediction): string[] {
  const { unknown, assumed, rtmr3 } = prediction;
  return [
    `compose hash  ${toHex(prediction.composeHash)}`,
    `app id        ${toHex(prediction.appId)}`,
    '',
    `  ${'event'.padEnd(20)} ${'payload'.padEnd(40)}  ${'digest'.padEnd(DIGITS + 1)}  RTMR3`,
    ...prediction.events.map(row),
    '',
    `RTMR3         ${rtmr3 === undefined ? 'not known, because of what is missing:' : toHex(rtmr3)}`,
    ...unknown.map(({ event, why }) => `  unknown     ${event}: ${why}`),
    ...assumed.map((text) => `  assumed     ${text}`),
  ];
}
