/** `timeline`: where the time of this boot went, beside the one before. */
import type { Command } from 'commander';
import { loadTimelineChart, loadTimelineStore } from '../boot/boot.ts';
import { PATHS } from '../config/paths.ts';
import * as ui from '../ui.ts';

interface Options {
  readonly file: string;
  readonly previous?: boolean;
  readonly svg?: boolean;
  readonly json?: boolean;
}

async function show(options: Options): Promise<void> {
  const { readTimelines } = await loadTimelineStore();
  const boots = await readTimelines({ path: options.file });
  const { sequenceTotals, timelineSvg, timelineText } = await loadTimelineChart();
  const records = options.previous ? boots.previous : boots.current;
  if (options.svg) return ui.output(timelineSvg(records));
  const summary = (of: typeof records) => ({ phases: of, totalsMs: Object.fromEntries(sequenceTotals(of)) });
  const value = { current: summary(boots.current), previous: summary(boots.previous) };
  const columns = process.stdout.columns ?? 100;
  const before = options.previous ? [] : boots.previous;
  ui.result(value, { json: options.json, text: () => timelineText(records, { columns, before }), paint });
}

/** What failed, and what became slower or faster than last time. */
const paint = (line: string): string => {
  const failed = ui.paintMatch(line, /^ +! .*/, 'bad');
  if (failed !== line) return failed;
  const slower = ui.paintMatch(line, / (\+[\d.]+ (?:ms|s|min \d\d s))$/, 'warn');
  return slower === line ? ui.paintMatch(line, / (-[\d.]+ (?:ms|s|min \d\d s))$/, 'good') : slower;
};

export default function define(command: Command): void {
  command
    .option('--file <path>', 'timeline to read', PATHS.bootTimeline)
    .option('--previous', 'show the boot before this one, which the data disk keeps')
    .option('--svg', 'print an SVG picture')
    .option('--json', 'print both boots as JSON')
    .addHelpText(
      'after',
      '\nA line with + is a measured event. A figure behind a bar says how much slower or faster than last time.',
    )
    .action(show);
}
