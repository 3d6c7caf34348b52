/** The page at `/`: who this app is, how it booted, what it measured, what runs. One document, no script, no foreign content. */
import { toHex } from '../codec/hex.ts';
import { PATHS } from '../config/paths.ts';
import { type ContainerSummary, listContainers } from '../deploy/docker-api.ts';
import { errorChain } from '../errors.ts';
import { duration } from '../ui.ts';
import { VERSION_TEXT } from '../version.ts';
import { STYLE } from './dashboard-style.ts';
import { type Html, html } from './html.ts';
import { dmi, type Identity, publicIdentity } from './info.ts';
import type { Readiness } from './readiness.ts';
import type { AgentState } from './state.ts';
import { systemInformation } from './system-info.ts';
import { readTimeline, type TimelinePhase } from './timeline.ts';

/** Renders the page. What cannot be read is named as such; the page itself never fails for it. */
export async function dashboard(
  state: AgentState,
  readiness: Readiness,
  timelinePath: string = PATHS.bootTimeline,
): Promise<string> {
  const [identity, phases, containers] = await Promise.all([
    attempt(() => publicIdentity(state)),
    readTimeline(timelinePath),
    attempt(() => listContainers()),
  ]);
  const { compose } = state;
  const body = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${compose.name} · dstack</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="kind">confidential VM</p>
<h1>${compose.name}</h1>
<p class="state"><a class="${readiness.ready ? 'good' : 'bad'}" href="/readyz">${readiness.ready ? 'ready' : 'not ready'}</a></p>
</header>
${state.backend.kind === 'canned' ? html`<p class="alarm" role="alert"><strong>Simulator.</strong> The quotes of this machine come from a file and prove nothing.</p>` : ''}
<main>
${await identitySection(state, identity)}
${timelineSection(phases)}
${compose.publicTcbinfo && !('failure' in identity) ? eventSection(identity.value) : ''}
${containerSection(state, containers)}
${compose.publicSysinfo ? await systemSection(state) : ''}
</main>
<footer>${VERSION_TEXT} · <a href="/readyz">readiness</a>${compose.publicSysinfo ? html` · <a href="/metrics">metrics</a>` : ''}</footer>
</body>
</html>
`;
  return body.text;
}

type Attempt<T> = { readonly value: T } | { readonly failure: string };

/** A reader does not wait long for one part of the page. */
const PATIENCE_MS = 4000;

async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Attempt<T>>((resolve) => {
    timer = setTimeout(() => resolve({ failure: `no answer within ${duration(PATIENCE_MS)}` }), PATIENCE_MS);
  });
  const answer = work().then(
    (value): Attempt<T> => ({ value }),
    (thrown): Attempt<T> => ({ failure: errorChain(thrown) }),
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const row = (name: string, value: string | Html, mono = false): Html =>
  html`<dt>${name}</dt><dd${mono ? html` class="mono"` : ''}>${value === '' ? html`<span class="none">none</span>` : value}</dd>\n`;

async function identitySection(state: AgentState, identity: Attempt<Identity>): Promise<Html> {
  const cloud = [await dmi('sys_vendor'), await dmi('product_name')].filter((text) => text !== '').join(' ');
  if ('failure' in identity) {
    return html`<section><h2>Identity</h2><p class="alarm">No evidence can be taken: ${identity.failure}</p></section>`;
  }
  const { app, mrtd, rtmrs } = identity.value;
  return html`<section>
<h2>Identity</h2>
<dl>
${row('App id', toHex(app.appId), true)}${row('Instance id', toHex(app.instanceId), true)}${row('Compose hash', toHex(app.composeHash), true)}${row('OS image', toHex(app.osImageHash), true)}${row('Aggregated', toHex(app.mrAggregated), true)}${row('Device', toHex(app.deviceId), true)}${row('Key provider', keyProviderText(app.keyProviderInfo))}${row('Machine', cloud)}</dl>
${
  state.compose.publicTcbinfo
    ? html`<details><summary>Registers</summary><dl>${row('MRTD', mrtd, true)}${rtmrs.map((value, index) => row(`RTMR${index}`, value, true))}</dl></details>`
    : html`<p class="none">This app keeps its registers and event log private.</p>`
}
</section>`;
}

/** `name (id)` of the measured key provider document. */
function keyProviderText(info: Uint8Array): string {
  const text = Buffer.from(info).toString('utf8');
  try {
    const { name, id } = JSON.parse(text) as { name?: unknown; id?: unknown };
    return id ? `${String(name)} (${String(id)})` : String(name);
  } catch {
    return text;
  }
}

/** Phases as bars on one time axis. */
function timelineSection(phases: readonly TimelinePhase[]): Html {
  if (phases.length === 0) return html``;
  const begin = Math.min(...phases.map(({ start }) => start));
  const total = Math.max(1, ...phases.map(({ start, durationMs }) => start + durationMs - begin));
  const percent = (part: number): string => ((100 * part) / total).toFixed(2);
  const rows = phases.map(({ sequence, phase, start, durationMs, outcome, events }) => {
    const names = events.length === 0 ? '' : html`<small>${events.join(', ')}</small>`;
    const left = percent(start - begin);
    const width = percent(Math.min(durationMs, total - (start - begin)));
    return html`<tr class="${outcome}">
<th scope="row">${phase}<small>${sequence}</small>${names}</th>
<td class="bar"><span style="margin-left:${left}%;width:max(2px,${width}%)"></span></td>
<td class="time">${outcome === 'skipped' ? 'skipped' : outcome === 'failed' ? `failed, ${duration(durationMs)}` : duration(durationMs)}</td>
</tr>\n`;
  });
  return html`<section>
<h2>Boot</h2>
<p>${phases.length} phases in ${duration(total)}, ${new Date(begin).toISOString().replace(/\.\d+Z$/, 'Z')}</p>
<table class="boot"><thead class="hidden"><tr><th>phase</th><th>when</th><th>duration</th></tr></thead><tbody>
${rows}</tbody></table>
</section>`;
}

function eventSection({ eventLog }: Identity): Html {
  const events = eventLog.filter(({ imr }) => imr === 3);
  const rows = events.map(
    ({ event, event_payload, digest }) => html`<li>
<strong>${event}</strong> <span class="mono payload">${event_payload.length > 128 ? `${event_payload.slice(0, 128)}…` : event_payload}</span>
<span class="mono digest">${digest}</span>
</li>\n`,
  );
  return html`<section>
<h2>Runtime events</h2>
<p>Measured into RTMR3, in this order: name, payload and SHA-384 digest.</p>
<ol class="events">
${rows}</ol>
</section>`;
}

function containerSection({ compose }: AgentState, containers: Attempt<ContainerSummary[]>): Html {
  const list = (items: ContainerSummary[]) =>
    items.length === 0
      ? html`<p class="none">No containers.</p>`
      : html`<ul class="containers">${items.map((item) => containerRow(item, compose.publicLogs))}</ul>`;
  return html`<section>
<h2>Containers</h2>
${'failure' in containers ? html`<p class="none">Docker does not answer.</p>` : list(containers.value)}
</section>`;
}

function containerRow({ Names, Image, State, Status }: ContainerSummary, logs: boolean): Html {
  const name = (Names[0] ?? '').replace(/^\//, '');
  const link = `/logs/${encodeURIComponent(name)}?text=true&bare=true&tail=200`;
  return html`<li>
<span class="dot ${/^\w+$/.test(State) ? State : ''}"></span>
<span><strong>${name}</strong> <small class="mono">${Image}</small></span>
<span class="time">${Status}${logs ? html` · <a href="${link}">log</a>` : ''}</span>
</li>\n`;
}

async function systemSection(state: AgentState): Promise<Html> {
  const info = await attempt(() => systemInformation(state.dataDisks));
  if ('failure' in info) return html``;
  const system = info.value;
  const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
  const load = [system.loadavg_one, system.loadavg_five, system.loadavg_fifteen].map((value) =>
    (value / 100).toFixed(2),
  );
  return html`<section>
<h2>System</h2>
<dl>
${row('System', `${system.os_name} ${system.os_version}, Linux ${system.kernel_version}`)}${row('Processor', `${system.num_cpus} × ${system.cpu_model}`)}${row('Memory', `${gib(system.used_memory)} of ${gib(system.total_memory)}`)}${row('Swap', `${gib(system.used_swap)} of ${gib(system.total_swap)}`)}${row('Load', load.join(', '))}${row('Up', duration(system.uptime * 1000))}${system.disks.map((disk) => row(disk.mount_point, `${gib(disk.total_size - disk.free_size)} of ${gib(disk.total_size)}`))}</dl>
</section>`;
}
