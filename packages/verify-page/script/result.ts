/** Everything that the page says about judged evidence, in the order of interest. */
import { printableJson } from '../../../src/printable.ts';
import { chainPicture } from './chain-picture.ts';
import { checksList } from './checks-list.ts';
import { h, section } from './dom.ts';
import { eventsList } from './events-list.ts';
import { identityList } from './identity-list.ts';
import type { ReportJson } from './report.ts';
import { verdictCard } from './verdict-card.ts';

/** @param steps what to do next, when something is missing */
export function result(report: ReportJson, steps: readonly HTMLElement[]): HTMLElement[] {
  return [
    verdictCard(report),
    ...steps,
    chainPicture(report),
    checksList(report),
    identityList(report),
    eventsList(report),
    jsonSection(report),
  ].filter((each) => each !== undefined);
}

function jsonSection(report: ReportJson): HTMLElement {
  const pre = h('pre', { id: 'json', tabindex: '0', 'aria-label': 'The report as JSON' });
  pre.textContent = printableJson(JSON.stringify(report, null, 2));
  return section(
    'json-title',
    'The report',
    h('p', { class: 'soft' }, 'As ', h('code', {}, 'dstack-util verify --json'), ' prints it.'),
    h('details', {}, h('summary', {}, 'Show JSON'), pre),
  );
}
