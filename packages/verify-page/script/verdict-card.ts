/** The verdict, so that it cannot be taken for more than it is: one line, four parts, and what nobody checked. */
import { cutText, printable } from '../../../src/printable.ts';
import { h } from './dom.ts';
import type { PartProofJson, ProofState, ReportJson } from './report.ts';

const HEADLINE = {
  valid: { words: 'Valid', tone: 'good' },
  invalid: { words: 'Refused', tone: 'bad' },
  unchecked: { words: 'Not proven', tone: 'warn' },
} as const;

const TONE: Readonly<Record<ProofState, string>> = { proven: 'good', 'not proven': 'warn', contradicted: 'bad' };
const MARK: Readonly<Record<ProofState, string>> = { proven: '✓', 'not proven': '?', contradicted: '✗' };

/** A root that is not Intel's stands on the line of the verdict. */
const underRoot = ({ root_ca: root }: ReportJson): string =>
  root.intel ? '' : ` under ${root.name}, which is NOT Intel’s root`;

/** The first check that decided, in words; empty for valid evidence. */
function reason({ verdict, checks }: ReportJson): string {
  const wanted = verdict === 'invalid' ? 'fail' : 'unknown';
  return verdict === 'valid' ? '' : (checks.find(({ outcome }) => outcome === wanted)?.detail ?? '');
}

/** The verdict in one sentence, for those who hear it. */
export function spoken(report: ReportJson): string {
  const { machine, system, app, fresh } = report.proof;
  const why = reason(report);
  return (
    `Verdict: ${HEADLINE[report.verdict].words}${underRoot(report)}. Machine ${machine.state}, system ${system.state}, ` +
    `app ${app.state}, freshness ${fresh.state}.${why === '' ? '' : ` Reason: ${why}`}`
  );
}

export function verdictCard(report: ReportJson): HTMLElement {
  const { words, tone } = HEADLINE[report.verdict];
  // nobody knows who keeps the key of another root
  const colour = report.root_ca.intel || tone === 'bad' ? tone : 'warn';
  const { machine, system, app, fresh } = report.proof;
  const why = reason(report);
  return h(
    'section',
    { class: `verdict ${colour}`, 'aria-labelledby': 'verdict' },
    h('h2', { id: 'verdict', class: 'headline', tabindex: '-1' }, h('strong', {}, words), underRoot(report)),
    why === '' ? undefined : h('p', {}, why),
    h(
      'p',
      { class: 'soft' },
      `${report.input.form ?? 'not recognised'}, ${report.input.bytes} bytes, judged as of ${report.at}`,
    ),
    h(
      'ul',
      { class: 'parts' },
      tile('Machine', machine),
      tile('System', system),
      tile('App', app, app.conditional ? 'as far as its system can be trusted' : undefined),
      tile('Fresh', fresh),
    ),
    ...(report.not_proven.length === 0
      ? []
      : [
          h('p', {}, h('strong', {}, 'Not proven:')),
          h('ul', { class: 'bullets' }, ...report.not_proven.map((line) => h('li', {}, line))),
        ]),
  );
}

/** What a tile has room for; the whole sentence stands below, or among the checks. */
const TILE_TEXT = 150;

function tile(name: string, { state, why }: PartProofJson, limit?: string): HTMLElement {
  // what is not proven is listed below with its reason
  const text = state === 'not proven' ? '' : printable(limit === undefined ? why : `${limit}: ${why}`);
  return h(
    'li',
    {},
    name,
    h('span', { class: `state ${TONE[state]}` }, `${MARK[state]} ${state}`),
    text === '' ? undefined : h('small', {}, text.length > TILE_TEXT ? `${cutText(text, TILE_TEXT)}…` : text),
  );
}
