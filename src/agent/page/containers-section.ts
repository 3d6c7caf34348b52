/** The containers: state, health, restarts, what they use, and their logs. */

import { CONTAINER_NAME } from '../docker-view/calls.ts';
import type { ContainerReport } from '../figures/containers.ts';
import type { AgentState } from '../state.ts';
import { type Html, html } from './html.ts';
import { type Attempt, bytes, count, percent, section } from './parts.ts';

/** the others are folded; those in trouble are named above everything anyway */
const SHOWN = 10;

export function containerSection({ compose }: AgentState, containers: Attempt<readonly ContainerReport[]>): Html {
  if (compose.runner === 'bash') return html``;
  if ('failure' in containers) {
    return section('containers', 'Containers', html`<p class="soft">Docker does not answer.</p>`);
  }
  const list = containers.value;
  const items = (some: readonly ContainerReport[]): Html =>
    html`<ul class="containers">\n${some.map((item) => containerItem(item, compose.publicLogs, compose.publicSysinfo))}</ul>`;
  const body =
    list.length === 0
      ? html`<p class="soft">There are no containers.</p>`
      : html`${items(list.slice(0, SHOWN))}${list.length > SHOWN ? html`<details><summary>${count(list.length - SHOWN, 'more container')}</summary>\n${items(list.slice(SHOWN))}</details>` : ''}`;
  return section('containers', 'Containers', body);
}

function containerItem(container: ContainerReport, logs: boolean, usage: boolean): Html {
  const { name, image, status } = container;
  const facts = [health(container), restarts(container), ...(usage ? usageFacts(container) : [])];
  return html`<li>
<span class="dot ${tone(container)}"></span>
<div><strong>${name}</strong> <code class="soft">${shortImage(image)}</code>
<div class="facts"><span>${status || container.state}</span>${facts}</div></div>
${logs ? html`<a class="log" href="${logLink(container)}">log</a>` : ''}
</li>\n`;
}

/** The digest of an image is cut: 64 digits say no more to a person than 12. */
const shortImage = (image: string): string =>
  image.replace(/(sha256:[0-9a-f]{12})[0-9a-f]{52}$/, (_, start: string) => `${start}…`);

/** Colour of the dot: running and not ill, in between, or broken. */
function tone({ state, details }: ContainerReport): 'good' | 'warn' | 'bad' | 'idle' {
  if (state === 'running')
    return details?.health === 'unhealthy' ? 'bad' : details?.health === 'starting' ? 'warn' : 'good';
  if (state === 'restarting' || state === 'paused') return 'warn';
  if (state === 'dead' || (state === 'exited' && details?.exitCode !== 0)) return 'bad';
  return 'idle';
}

/** Docker's own sentence names the health of a running container; only what it leaves out is added. */
function health({ details, status }: ContainerReport): Html | string {
  if (details?.outOfMemory) return html`<span class="bad">out of memory</span>`;
  const word = details?.health;
  return word === undefined || status.includes(word) ? '' : html`<span>${word}</span>`;
}

function restarts({ details }: ContainerReport): Html | string {
  const number = details?.restarts;
  if (number === undefined) return '';
  return html`<span class="${number > 0 ? 'warn' : ''}">${count(number, 'restart')}</span>`;
}

function usageFacts({ usage, cpus }: ContainerReport): Html[] {
  const memory = usage?.memory === undefined ? '' : `memory ${bytes(usage.memory)}`;
  const facts = [cpus === undefined ? '' : `CPU ${percent(cpus)}`, memory].filter((text) => text !== '');
  return facts.map((text) => html`<span>${text}</span>`);
}

/** By name where the route takes it, else by id. */
function logLink({ name, id }: ContainerReport): string {
  const container = CONTAINER_NAME.test(name) ? name : id;
  return `/logs/${encodeURIComponent(container)}?text=true&bare=true&tail=200`;
}
