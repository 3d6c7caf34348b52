/** The page at `/`: who this app is, what runs, how it booted and how to prove it. One document: no script, nothing foreign. */
import { createHash } from 'node:crypto';
import { PATHS } from '../../config/paths.ts';
import { VERSION_TEXT } from '../../version.ts';
import { readTimeline } from '../figures/boot-phases.ts';
import { type BootState, bootState, latestPhases } from '../figures/boot-state.ts';
import { certificateEnds } from '../figures/certificates.ts';
import type { ContainerReport } from '../figures/containers.ts';
import type { Readiness } from '../figures/readyz.ts';
import { dmi, publicIdentity } from '../services/app-report.ts';
import type { AgentState } from '../state.ts';
import { bootSection } from './boot-section.ts';
import { containerSection } from './containers-section.ts';
import { eventSection, runtimeEvents } from './events-section.ts';
import { html } from './html.ts';
import { identitySection } from './identity-section.ts';
import { type Attempt, attempt, count } from './parts.ts';
import { ICON, STYLE } from './style.ts';
import { networkSection, systemSection } from './system-section.ts';
import { illness, type Trouble, troubleBox, troublesOf, type WayIn } from './troubles.ts';
import { baseUrl, pageEvidence, verifySection } from './verify-section.ts';

export interface Page {
  readonly text: string;
  /** Content-Security-Policy */
  readonly policy: string;
  /** seconds until a browser should ask again, while something is still starting */
  readonly refresh: number | undefined;
}

export interface PageOptions {
  /** Host header of the request */
  readonly host?: string | undefined;
  readonly timelinePath?: string;
}

const STYLE_HASH = createHash('sha256').update(STYLE.text).digest('base64');
/** Its own style by hash, its icon, and nothing else: no script, no foreign content, not inside another page. */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
const REFRESH_SECONDS = 5;

/** Renders the page. What cannot be read is named as such; the page itself never fails for it, and never waits long. */
export async function page(state: AgentState, readiness: Readiness, options: PageOptions = {}): Promise<Page> {
  const { compose } = state;
  const [identity, timeline, containers, evidence, machine, cloud, wayIn] = await Promise.all([
    attempt(() => publicIdentity(state)),
    readTimeline(options.timelinePath ?? PATHS.bootTimeline),
    // an app that is a script has none, and often no docker
    compose.runner === 'bash' ? { value: [] } : attempt(() => state.containers.list()),
    compose.publicTcbinfo ? pageEvidence(state) : undefined,
    compose.publicSysinfo ? Promise.all([systemSection(state), networkSection(state)]) : [],
    Promise.all([dmi('sys_vendor'), dmi('product_name')]),
    compose.publicSysinfo ? readWayIn(state) : undefined,
  ]);
  const phases = latestPhases(timeline);
  const boot = bootState(phases);
  const known = compose.publicTcbinfo && 'value' in identity ? identity.value : undefined;
  const eventNumbers = known && new Map(runtimeEvents(known).map(({ digest }, index) => [digest, index + 1]));
  const troubles = troublesOf(state, readiness, boot, containers, wayIn, Math.floor(Date.now() / 1000));
  const status = summary(readiness, boot, containers, troubles);
  const document = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${compose.name} · dstack</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="soft">Confidential VM</p>
<h1>${compose.name}</h1>
<a class="state ${status.tone}" href="/readyz">${status.text}</a>
</header>
${state.backend.kind === 'canned' ? html`<p class="alarm" role="alert"><strong>Simulator.</strong> The quotes of this machine come from a file and prove nothing.</p>` : ''}
<main>
${troubleBox(troubles)}${containerSection(state, containers)}${machine.length > 0 ? html`<div class="pair">\n${machine}</div>\n` : ''}${identitySection(state, identity, cloud.filter((text) => text !== '').join(' '))}${bootSection({ phases, boot, eventNumbers, showErrors: compose.publicLogs })}${known ? eventSection(known) : ''}${verifySection(state, evidence, options.host)}</main>
<footer>dstack-util ${VERSION_TEXT} · <a href="/readyz">readiness</a>${compose.publicSysinfo ? html` · <a href="/metrics">metrics</a>` : ''}</footer>
</body>
</html>
`;
  return {
    text: document.text,
    policy: POLICY,
    refresh: boot.state === 'running' || !readiness.ready ? REFRESH_SECONDS : undefined,
  };
}

async function readWayIn(state: AgentState): Promise<WayIn> {
  const gateway = await state.gateway.read();
  return { gateway, certificates: certificateEnds(state, gateway?.record?.certNotAfter) };
}

/** Host of a page that is meant for everybody; a name that no machine has (RFC 2606). */
export const ANY_HOST = 'any-host.invalid';

/** The text of a page for `ANY_HOST`, as the reader at another host should see it. */
export const textFor = ({ text }: Page, host: string | undefined): string =>
  text.replaceAll(baseUrl(ANY_HOST), baseUrl(host));

/** The one thing that a person looks for first. */
function summary(
  readiness: Readiness,
  boot: BootState,
  containers: Attempt<readonly ContainerReport[]>,
  troubles: readonly Trouble[],
): { readonly text: string; readonly tone: 'good' | 'warn' | 'bad' } {
  if (!readiness.ready) return { text: 'not ready', tone: 'bad' };
  if (boot.state === 'failed') return { text: 'start failed', tone: 'bad' };
  if (boot.state === 'running') return { text: 'starting', tone: 'warn' };
  if (troubles.some(({ runbook }) => runbook === 'DstackAppUnhealthy')) return { text: 'not healthy', tone: 'warn' };
  if ('failure' in containers) return { text: 'docker does not answer', tone: 'warn' };
  const ill = containers.value.filter((each) => illness(each) !== undefined).length;
  if (ill > 0) return { text: `${count(ill, 'container')} in trouble`, tone: 'warn' };
  if (troubles.length > 0) return { text: `running, ${count(troubles.length, 'thing')} to do`, tone: 'warn' };
  return { text: 'running', tone: 'good' };
}
