/** Every check in plain words, by the question it answers. */
import { h, section } from './dom.ts';
import type { CheckJson, ReportJson } from './report.ts';
import { checkWords, OUTCOMES, PARTS } from './words.ts';

export function checksList({ checks }: ReportJson): HTMLElement {
  const groups = PARTS.flatMap(({ part, title }) => {
    const own = checks.filter((check) => check.part === part);
    return own.length === 0 ? [] : [h('h3', {}, title), h('ul', { class: 'checks' }, ...own.map(line))];
  });
  return section('checks-title', 'Every check', ...groups);
}

function line({ name, outcome, detail }: CheckJson): HTMLElement {
  const { mark, words, tone } = OUTCOMES[outcome];
  return h(
    'li',
    { class: `check-${outcome}` },
    h('span', { class: `mark ${tone}`, 'aria-hidden': 'true' }, mark),
    h(
      'span',
      {},
      checkWords(name),
      h('span', { class: 'unseen' }, `: ${words}.`),
      h('span', { class: 'detail' }, `${detail} `, h('code', {}, name)),
    ),
  );
}
