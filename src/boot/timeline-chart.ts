/** A boot as a chart: bars for a terminal, or a picture (SVG 1.1) for a report. */

import type { PhaseRecord } from '../config/timeline-file.ts';
import * as ui from '../ui.ts';

interface Bar {
  readonly record: PhaseRecord;
  /** milliseconds since the first phase began */
  readonly from: number;
}

/** Phases in the order in which they began; those with nothing to do are left out. */
function bars(records: readonly PhaseRecord[]): { bars: Bar[]; total: number; start: number } {
  const ran = records.filter(({ outcome }) => outcome !== 'skipped');
  const start = Math.min(...ran.map((record) => Date.parse(record.start)));
  const list = ran
    .map((record) => ({ record, from: Date.parse(record.start) - start }))
    .toSorted((a, b) => a.from - b.from);
  return { bars: list, total: Math.max(1, ...list.map(({ from, record }) => from + record.durationMs)), start };
}

/** Sum of the phases' own times, by sequence: `prepare`, `setup`, `handover`, `deploy`. */
export function sequenceTotals(records: readonly PhaseRecord[]): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { sequence, durationMs } of records) totals.set(sequence, (totals.get(sequence) ?? 0) + durationMs);
  return totals;
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` columns' eighths: never empty, so that a short phase is still seen. */
function bar(from: number, length: number, total: number, width: number): string {
  const column = Math.min(width - 1, Math.floor((from / total) * width));
  const eighths = Math.max(1, Math.min((width - column) * 8, Math.round((length / total) * width * 8)));
  return `${' '.repeat(column)}${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8]}`;
}

/**
 * The text form: one line a phase, `columns` wide at most.
 * @param before the same phases of the boot before; what became slower or faster by more than a tenth and 50 ms is marked
 */
export function timelineText(
  records: readonly PhaseRecord[],
  { columns, before = [] }: { columns: number; before?: readonly PhaseRecord[] },
): string {
  const { bars: list, total, start } = bars(records);
  if (list.length === 0) return 'no phase was recorded yet';
  const longest = (pick: (record: PhaseRecord) => string) => Math.max(...list.map(({ record }) => pick(record).length));
  const sequenceWidth = longest(({ sequence }) => sequence);
  const nameWidth = Math.min(
    longest(({ phase }) => phase),
    34,
  );
  const chart = Math.max(10, columns - sequenceWidth - nameWidth - 10 - 6);
  const lines = [
    `boot of ${new Date(start).toISOString().slice(0, 19).replace('T', ' ')} UTC, ${ui.duration(total)} from the first phase to the end of the last`,
  ];
  for (const { record, from } of list) {
    const { sequence, phase, durationMs, outcome, events, notes = [], error } = record;
    const name = ui.cutText(ui.printable(phase), nameWidth).padEnd(nameWidth);
    const time = ui.duration(durationMs).padStart(8);
    lines.push(
      `${ui.printable(sequence).padEnd(sequenceWidth)}  ${name} ${time}  ${bar(from, durationMs, total, chart)}${change(record, before)}`.trimEnd(),
    );
    const indent = ' '.repeat(sequenceWidth + 2);
    for (const { name: event, digest } of events)
      lines.push(`${indent}+ ${ui.printable(event)} ${ui.printable(digest.slice(0, 16))}…`);
    for (const note of notes) lines.push(`${indent}= ${ui.printable(note)}`);
    if (outcome === 'failed') lines.push(`${indent}! ${ui.printable(error ?? 'failed')}`);
  }
  const sums = [...sequenceTotals(records)].map(([sequence, ms]) => `${ui.printable(sequence)} ${ui.duration(ms)}`);
  lines.push(`time inside the phases: ${sums.join(', ')}`);
  return lines.join('\n');
}

function change(record: PhaseRecord, before: readonly PhaseRecord[]): string {
  const old = before.find(
    ({ sequence, phase, outcome }) => sequence === record.sequence && phase === record.phase && outcome === 'done',
  );
  if (old === undefined || record.outcome !== 'done') return '';
  const difference = record.durationMs - old.durationMs;
  if (Math.abs(difference) < 50 || Math.abs(difference) < old.durationMs / 10) return '';
  return ` ${difference > 0 ? '+' : '-'}${ui.duration(Math.abs(difference))}`;
}

const ROW = 18;
const LABEL = 300;
const CHART = 560;
const MARGIN = 12;

/** The picture: self-contained, readable on light and dark pages, each bar with its figures as a tooltip. */
export function timelineSvg(records: readonly PhaseRecord[]): string {
  const { bars: list, total, start } = bars(records);
  const height = MARGIN * 2 + 20 + list.length * ROW;
  const width = MARGIN * 2 + LABEL + CHART + 70;
  const title = `boot of ${new Date(list.length === 0 ? 0 : start).toISOString().slice(0, 19)}Z, ${ui.duration(list.length === 0 ? 0 : total)}`;
  const rows = list.map(({ record, from }, index) => {
    const y = MARGIN + 20 + index * ROW;
    const x = MARGIN + LABEL + (from / total) * CHART;
    const length = Math.max(1, (record.durationMs / total) * CHART);
    const label = `${record.sequence}: ${record.phase}`;
    const events = record.events.map(({ name, digest }) => `\n${name} ${digest}`).join('');
    return [
      `<g><title>${xml(`${label}, ${ui.duration(record.durationMs)}${events}`)}</title>`,
      `<text x="${MARGIN + LABEL - 8}" y="${y + 12}" text-anchor="end">${xml(label)}</text>`,
      `<rect class="${record.outcome}${record.events.length > 0 ? ' measured' : ''}" x="${x.toFixed(1)}" y="${y + 2}" width="${length.toFixed(1)}" height="${ROW - 5}" rx="2"/>`,
      `<text x="${(x + length + 5).toFixed(1)}" y="${y + 12}">${ui.duration(record.durationMs)}</text></g>`,
    ].join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${xml(title)}">
<style>text{font:12px system-ui,sans-serif;fill:#334}rect{fill:#5b8def}rect.measured{fill:#2f9e62}rect.failed{fill:#d6453d}@media(prefers-color-scheme:dark){text{fill:#ccd}}</style>
<text x="${MARGIN}" y="${MARGIN + 8}">${xml(title)}</text>
${rows.join('\n')}
</svg>
`;
}

/** Text inside XML: markup characters as references; control characters, which XML 1.0 does not have, as escapes. */
function xml(text: string): string {
  return ui
    .printableLines(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
