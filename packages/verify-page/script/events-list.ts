/** What was measured into RTMR0 to RTMR3, event by event, with the register behind each. */
import { h, section } from './dom.ts';
import type { ReportJson } from './report.ts';
import { firmwareWords, REGISTERS, runtimeWords, STATES } from './words.ts';

interface Row {
  readonly index: number;
  readonly event: string;
  readonly words: string;
  readonly payload?: string;
  readonly digest: string;
  readonly value: string;
  readonly state: string;
  readonly why?: string | undefined;
}

/** As many as a person reads; more only make the page slow. The JSON has all of them. */
const MOST_ROWS = 600;

export function eventsList(report: ReportJson): HTMLElement {
  const rows: readonly Row[][] = [
    ...([0, 1, 2] as const).map((register) =>
      report.firmware_events
        .filter((event) => event.register === register)
        .map((event): Row => ({ ...event, words: firmwareWords(event) })),
    ),
    report.events.map((event): Row => ({ ...event, words: runtimeWords(event), value: event.rtmr3 })),
  ];
  return section(
    'events-title',
    'Every measured event',
    ...rows.map((events, register) => group(register, events, report.registers?.[`rtmr${register}`])),
  );
}

function group(register: number, rows: readonly Row[], quoted: string | undefined): HTMLElement {
  const drifts = rows.filter(({ state }) => state === 'drift').length;
  const count = `${rows.length} ${rows.length === 1 ? 'event' : 'events'}`;
  const title = `RTMR${register}: ${REGISTERS[register]}, ${count}${drifts === 0 ? '' : `, ${drifts} drift`}`;
  const attributes = rows.length > 0 && (register === 3 || drifts > 0) ? { open: '' } : {};
  return h(
    'details',
    { class: 'events-of', ...attributes },
    h('summary', {}, title),
    rows.length === 0
      ? h('p', { class: 'soft' }, 'This evidence has no log of it.')
      : h('ol', { class: 'events' }, ...rows.slice(0, MOST_ROWS).map(item)),
    rows.length > MOST_ROWS
      ? h('p', { class: 'soft' }, `${rows.length - MOST_ROWS} more are in the report below.`)
      : undefined,
    quoted === undefined ? undefined : h('p', { class: 'soft' }, 'The quote has ', h('code', {}, quoted)),
  );
}

function item({ index, event, words, payload, digest, value, state, why }: Row): HTMLElement {
  const badge = STATES[state] ?? { words: state, tone: 'soft' };
  return h(
    'li',
    {},
    h('span', { class: 'number' }, index),
    h('span', {}, h('code', { class: 'name' }, event), h('span', { class: 'what' }, words)),
    h('span', { class: `badge ${badge.tone}` }, badge.words),
    h(
      'span',
      { class: 'facts' },
      payload === undefined || payload === '' ? undefined : hash('content', payloadText(payload)),
      hash('digest', digest),
      value === '' ? undefined : hash('register', value),
      why === undefined ? undefined : h('span', { class: 'why bad' }, why),
    ),
  );
}

const hash = (name: string, value: string): HTMLElement =>
  h('span', { class: 'hash' }, h('span', {}, name), h('code', {}, value));

/** Payloads that are text are shown as text. @param digits hex */
function payloadText(digits: string): string {
  const bytes = digits.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...bytes) : digits;
}
