/** The boot as a chart: one bar a phase on one time axis, with the events that the phase measured. */
import { duration } from '../../ui.ts';
import type { TimelinePhase } from '../figures/boot-phases.ts';
import type { BootState } from '../figures/boot-state.ts';
import { Html, html } from './html.ts';
import { bar, count, moment, section } from './parts.ts';

export interface BootView {
  readonly phases: readonly TimelinePhase[];
  readonly boot: BootState;
  /** index in the list of runtime events by digest; undefined where the list is not shown */
  readonly eventNumbers: ReadonlyMap<string, number> | undefined;
  /** the words of a failure may be shown */
  readonly showErrors: boolean;
}

export function bootSection({ phases, boot, eventNumbers, showErrors }: BootView): Html {
  if (phases.length === 0) return html``;
  const begin = Math.min(...phases.map(({ start }) => start));
  const total = Math.max(1, ...phases.map(({ start, durationMs }) => start + durationMs - begin));
  const rows = phases.map((phase, index) => {
    const { sequence, start, durationMs, outcome } = phase;
    const group = sequence === phases[index - 1]?.sequence ? '' : groupRow(sequence);
    const from = (start - begin) / total;
    const kind = outcome === 'failed' ? 'failed' : 'done';
    return html`${group}<tr class="${outcome}">
<th scope="row">${phase.phase}${events(phase, eventNumbers)}</th>
<td class="chart">${outcome === 'skipped' ? '' : bar(from, from + durationMs / total, kind)}</td>
<td class="time">${outcome === 'skipped' ? 'skipped' : outcome === 'failed' ? `failed, ${duration(durationMs)}` : duration(durationMs)}</td>
</tr>\n`;
  });
  const { failure } = boot;
  const error =
    failure === undefined
      ? ''
      : html`<p class="bad">Failed: ${failure.phase}${showErrors && failure.error ? html`<br><code>${failure.error}</code>` : html` (the journal has the reason)`}</p>\n`;
  return section(
    'boot',
    'Boot',
    html`<p class="soft">${count(phases.length, 'phase')} in ${duration(total)}, started ${moment(begin)}${boot.state === 'running' ? ', still going on' : ''}</p>
${error}<details${boot.state === 'done' ? '' : new Html(' open')}><summary>Phase by phase</summary>
<table class="boot">
<thead><tr><th scope="col">phase</th><th scope="col" class="axis"><span>0</span><span>${duration(total)}</span></th><th scope="col" class="time">took</th></tr></thead>
<tbody>
${rows}</tbody></table></details>`,
  );
}

const groupRow = (sequence: string): Html =>
  html`<tr class="group"><th colspan="3" scope="rowgroup">${sequence}</th></tr>\n`;

/** The events of a phase with the first digits of their digests; the whole digest is in the list of events. */
function events({ events: measured }: TimelinePhase, numbers: BootView['eventNumbers']): Html | string {
  if (measured.length === 0) return '';
  const items = measured.map(({ name, digest }) => {
    const number = numbers?.get(digest);
    if (number === undefined) return html`<li>${name}</li>`;
    return html`<li><a href="#event-${number}">${name}</a> <code>${digest.slice(0, 12)}…</code></li>`;
  });
  return html`<ul class="measured">${items}</ul>`;
}
