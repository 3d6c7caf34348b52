/** The chain from the root certificate to system, app and freshness as a picture: beside each other, or below on a phone. */
import { cutText, printable } from '../../../src/printable.ts';
import { h, s, section } from './dom.ts';
import type { CheckJson, Outcome, ReportJson } from './report.ts';

interface Node {
  readonly title: string;
  readonly state: string;
  readonly tone: 'good' | 'warn' | 'bad' | 'open';
  readonly fact: string;
}

const LINE = 18;
const HEIGHT = 78;
const NARROW = '(max-width: 48rem)';
/** Widths and gaps of both pictures, in their own units; a character of a fact is about 6.4 units wide. */
const WIDE = { node: 172, gap: 35 } as const;
const TALL = { node: 316, gap: 26, left: 2, indent: 28 } as const;
const CHARACTER = 6.4;

/** Checks that say something about one link of the chain. */
const LINKS: Readonly<Record<'chain' | 'quote' | 'log', readonly string[]>> = {
  chain: ['collateral'],
  quote: ['dcap', 'tdx-module', 'tcb-status', 'td-debug', 'seam-signer', 'service-td'],
  log: ['event-log', 'event-preimages', 'firmware-replay', 'rtmr3-replay'],
};

export function chainPicture(report: ReportJson): HTMLElement {
  const nodes = chainOf(report);
  const query = window.matchMedia(NARROW);
  const holder = h('div', {});
  const draw = (): void => holder.replaceChildren(query.matches ? tall(nodes) : wide(nodes));
  query.addEventListener('change', draw);
  draw();
  return section('chain-title', 'From the root to the app', holder);
}

interface Chain {
  /** root, PCK chain, quote, registers */
  readonly line: readonly Node[];
  /** what the registers lead to: system, app, freshness */
  readonly ends: readonly Node[];
}

function chainOf(report: ReportJson): Chain {
  const { proof, root_ca: root, collateral, tcb, registers, checks } = report;
  const of = (names: readonly string[]) => checks.filter(({ name }) => names.includes(name));
  const genuine = proof.machine.state === 'proven';
  const chain = proof.machine.state === 'contradicted' && of(LINKS.chain).length === 0 ? [] : of(LINKS.chain);
  const short = (digits: string | undefined | null): string => (digits ? `${digits.slice(0, 16)}…` : 'not stated');
  return {
    line: [
      {
        title: 'Root certificate',
        ...(root.intel ? { state: 'Intel’s own', tone: 'good' } : { state: 'NOT Intel’s', tone: 'warn' }),
        fact: root.name,
      },
      {
        title: 'PCK certificates',
        ...worst(chain),
        fact: collateral === undefined ? 'no collateral' : `until ${collateral.valid_until.slice(0, 10)}`,
      },
      {
        title: 'Quote',
        ...worst(of(LINKS.quote), genuine),
        fact: tcb === undefined ? 'not judged' : `TCB ${tcb.status}`,
      },
      {
        title: 'Registers',
        ...worst(of(LINKS.log), genuine),
        fact:
          report.events.length + report.firmware_events.length === 0
            ? 'no event log'
            : `${report.events.length + report.firmware_events.length} events in the log`,
      },
    ],
    ends: [
      { title: 'System image', ...stateOf(proof.system.state), fact: short(report.system?.os_image_hash) },
      { title: 'App', ...stateOf(proof.app.state), fact: short(report.identity?.app_id) },
      { title: 'Fresh', ...stateOf(proof.fresh.state), fact: short(registers?.['report_data']) },
    ],
  };
}

const stateOf = (state: string): Pick<Node, 'state' | 'tone'> => ({
  state,
  tone: state === 'proven' ? 'good' : state === 'contradicted' ? 'bad' : 'warn',
});

/** The worst outcome of some checks. @param sure false when a pass counts for nothing yet */
function worst(checks: readonly CheckJson[], sure = true): Pick<Node, 'state' | 'tone'> {
  const has = (outcome: Outcome): boolean => checks.some((check) => check.outcome === outcome);
  if (has('fail')) return { state: 'does not hold', tone: 'bad' };
  if (has('unknown')) return { state: 'could not be checked', tone: 'warn' };
  if (!has('pass')) return { state: 'not checked', tone: 'open' };
  return sure ? { state: 'holds', tone: 'good' } : { state: 'counts for nothing yet', tone: 'open' };
}

const MARKS: Readonly<Record<Node['tone'], string>> = { good: '✓', warn: '!', bad: '✗', open: '–' };

/** The same in words: a picture is nothing to those who hear it. */
const told = ({ line, ends }: Chain): string =>
  [...line, ...ends].map(({ title, state, fact }) => printable(`${title}: ${state}, ${fact}`)).join('. ');

function picture(width: number, height: number, chain: Chain, parts: readonly SVGElement[]): SVGSVGElement {
  return s(
    'svg',
    { class: 'chain', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': told(chain) },
    ...parts,
  );
}

function box({ title, state, tone, fact }: Node, x: number, y: number, width: number): SVGElement {
  const room = Math.floor((width - 28) / CHARACTER);
  const line = printable(fact);
  return s(
    'g',
    { class: tone },
    s('rect', { x: `${x}`, y: `${y}`, width: `${width}`, height: `${HEIGHT}`, rx: '9' }),
    s('rect', { class: 'bar', x: `${x}`, y: `${y + 10}`, width: '4', height: `${HEIGHT - 20}`, rx: '2' }),
    s('text', { class: 'title', x: `${x + 15}`, y: `${y + 24}` }, title),
    s('text', { class: 'state', x: `${x + 15}`, y: `${y + 24 + LINE}` }, `${MARKS[tone]} ${state}`),
    s(
      'text',
      { class: 'fact', x: `${x + 15}`, y: `${y + 24 + 2 * LINE}` },
      line.length > room ? `${cutText(line, room - 1)}…` : line,
    ),
  );
}

/** A line with a tip that points right or down. */
const edge = (path: string, x: number, y: number, down: boolean): SVGElement =>
  s(
    'g',
    {},
    s('path', { class: 'edge', d: path }),
    s('path', {
      class: 'tip',
      d: down ? `M${x - 5} ${y - 8}h10l-5 8z` : `M${x - 8} ${y - 5}v10l8 -5z`,
    }),
  );

function wide(chain: Chain): SVGSVGElement {
  const { node, gap } = WIDE;
  const step = node + gap;
  const between = 14;
  const height = 3 * HEIGHT + 2 * between + 4;
  const middle = height / 2;
  const parts: SVGElement[] = [];
  for (const [at, each] of chain.line.entries()) {
    parts.push(box(each, 1 + at * step, middle - HEIGHT / 2, node));
    const end = 1 + at * step + node;
    if (at + 1 < chain.line.length)
      parts.push(edge(`M${end} ${middle}H${end + gap - 8}`, end + gap - 2, middle, false));
  }
  const [from, to] = [1 + 3 * step + node, 1 + 4 * step];
  for (const [at, each] of chain.ends.entries()) {
    const top = 2 + at * (HEIGHT + between);
    const y = top + HEIGHT / 2;
    parts.push(edge(`M${from} ${middle}H${from + gap / 2}V${y}H${to - 8}`, to - 2, y, false), box(each, to, top, node));
  }
  return picture(4 * step + node + 2, height, chain, parts);
}

function tall(chain: Chain): SVGSVGElement {
  const { node, gap, left, indent } = TALL;
  const step = HEIGHT + gap;
  const parts: SVGElement[] = [];
  for (const [at, each] of chain.line.entries()) {
    const y = 1 + at * step;
    parts.push(box(each, left, y, node));
    const x = left + node / 2;
    if (at + 1 < chain.line.length) parts.push(edge(`M${x} ${y + HEIGHT}V${y + step - 8}`, x, y + step - 2, true));
  }
  const from = 1 + 3 * step + HEIGHT;
  const between = 14;
  for (const [at, each] of chain.ends.entries()) {
    const y = from + between + at * (HEIGHT + between);
    const [rail, middle] = [left + 10, y + HEIGHT / 2];
    parts.push(
      edge(`M${rail} ${from}V${middle}H${left + indent - 8}`, left + indent - 2, middle, false),
      box(each, left + indent, y, node - indent),
    );
  }
  return picture(node + 2 * left, from + 3 * (HEIGHT + between) + 2, chain, parts);
}
