/** What is wrong and what to do about it: the first thing on the page, and nothing where all is well. */
import { describe } from '../figures/app-health.ts';
import type { BootState } from '../figures/boot-state.ts';
import type { CertificateEnds, CertificateName } from '../figures/certificates.ts';
import type { ContainerReport } from '../figures/containers.ts';
import type { GatewayReading } from '../figures/gateway-figures.ts';
import type { Readiness } from '../figures/readyz.ts';
import type { AgentState } from '../state.ts';
import { type Html, html } from './html.ts';
import { type Attempt, age, count } from './parts.ts';

/** The alerts of docs/observability/alerts.yml for the same troubles; docs/runbooks.md has a section for each. */
export type Runbook =
  | 'DstackAgentNotReady'
  | 'DstackBootPhaseFailed'
  | 'DstackDockerDown'
  | 'DstackContainerUnhealthy'
  | 'DstackContainerRestarts'
  | 'DstackAppUnhealthy'
  | 'DstackGatewayNotRegistered'
  | 'DstackTunnelSilent'
  | 'DstackCertificateEnding'
  | 'DstackGatewayCertificateEnding'
  | 'DstackKmsCallFails';

export interface Trouble {
  readonly what: Html;
  /** what a person does first */
  readonly next: Html;
  readonly runbook: Runbook;
}

/** What the app made public of the machine. */
export interface WayIn {
  readonly gateway: GatewayReading | undefined;
  readonly certificates: CertificateEnds;
}

/** Seconds; the alerts have the same. */
export const SILENT_S = 300;
export const ENDING_S = 14 * 86_400;
export const GATEWAY_ENDING_S = 600;

const SHOWN_NAMES = 5;

/** Whether a container is in trouble, and in which kind. */
export function illness({ state, details }: ContainerReport): 'ends' | 'unhealthy' | undefined {
  if (state === 'dead' || state === 'restarting') return 'ends';
  if (state === 'exited' && details?.exitCode !== undefined && details.exitCode !== 0) return 'ends';
  return details?.health === 'unhealthy' ? 'unhealthy' : undefined;
}

const names = (list: readonly ContainerReport[]): Html => {
  const shown = list
    .slice(0, SHOWN_NAMES)
    .map(({ name }, index) => html`${index > 0 ? ', ' : ''}<strong>${name}</strong>`);
  return html`${shown}${list.length > SHOWN_NAMES ? ` and ${count(list.length - SHOWN_NAMES, 'other')}` : ''}`;
};

function* ofBoot(readiness: Readiness, boot: BootState, showErrors: boolean): Generator<Trouble> {
  if (!readiness.ready) {
    const down = readiness.listeners.filter(({ state }) => state !== 'listening').map(({ name }) => name);
    yield {
      what: html`The app gets neither keys nor quotes: <strong>${down.join(', ')}</strong> does not listen.`,
      next: html`<a href="/readyz">readiness</a> has the reason.`,
      runbook: 'DstackAgentNotReady',
    };
  }
  const { failure } = boot;
  if (failure === undefined) return;
  yield {
    what: html`Phase <strong>${failure.phase}</strong> failed${showErrors && failure.error ? html`: <code>${failure.error}</code>` : '.'}`,
    next: html`${showErrors && failure.error ? '' : 'The journal has the reason. '}Correct it, then <code>systemctl restart app-compose</code>.`,
    runbook: 'DstackBootPhaseFailed',
  };
}

function* ofContainers(containers: Attempt<readonly ContainerReport[]>, logs: boolean): Generator<Trouble> {
  if ('failure' in containers) {
    const next = html`<code>systemctl status docker dstack-docker-view</code>`;
    yield { what: html`Docker does not answer.`, next, runbook: 'DstackDockerDown' };
    return;
  }
  const next = logs
    ? html`Read its log, linked below.`
    : html`<code>dstack-util deploy status</code> has its last words.`;
  const ill = containers.value.filter((each) => illness(each) === 'unhealthy');
  if (ill.length > 0)
    yield {
      what: html`${ill.length === 1 ? 'The health check of' : 'Health checks fail of'} ${names(ill)}${ill.length === 1 ? ' fails' : ''}.`,
      next,
      runbook: 'DstackContainerUnhealthy',
    };
  const ended = containers.value.filter((each) => illness(each) === 'ends');
  if (ended.length > 0)
    yield { what: html`Ended, or ends again and again: ${names(ended)}.`, next, runbook: 'DstackContainerRestarts' };
}

function* ofGateway({ registered, record, handshakes }: GatewayReading, now: number): Generator<Trouble> {
  const checker = html`<code>journalctl -u dstack-gateway-checker</code>, then <code>dstack-util gateway-refresh --force</code>.`;
  if (registered === false) {
    const why =
      record === undefined ? 'nobody has tried yet' : `${record.outcome}, ${count(record.failures, 'attempt')}`;
    const what = html`This guest is <strong>not registered</strong> with its gateway (${why}).`;
    yield { what, next: checker, runbook: 'DstackGatewayNotRegistered' };
  }
  if (handshakes === undefined || handshakes.size === 0) return;
  const latest = Math.max(...handshakes.values());
  if (now - latest <= SILENT_S) return;
  const since = latest === 0 ? 'there was no handshake yet' : `the last handshake was ${age(now - latest)} ago`;
  const what = html`The <strong>tunnel is silent</strong>: ${since}. Nobody reaches the app through a gateway.`;
  yield { what, next: checker, runbook: 'DstackTunnelSilent' };
}

const CERTIFICATES: Record<CertificateName, string> = {
  app_ca: 'The CA of the app',
  kms_client_ca: 'The CA for connections to the KMS',
  app_cert: 'The certificate of Info',
  gateway_client: 'The certificate for gateways',
};

function* ofCertificates(ends: CertificateEnds, now: number): Generator<Trouble> {
  for (const [name, end] of ends) {
    const gateway = name === 'gateway_client';
    if (end - now >= (gateway ? GATEWAY_ENDING_S : ENDING_S)) continue;
    const when = end > now ? `ends in ${age(end - now)}` : `ended ${age(now - end)} ago`;
    yield {
      what: html`${CERTIFICATES[name]} <strong>${when}</strong>.`,
      next: gateway
        ? html`It was not renewed: look at the KMS.`
        : html`Restart the guest: it gets what the key provider gives now.`,
      runbook: gateway ? 'DstackGatewayCertificateEnding' : 'DstackCertificateEnding',
    };
  }
}

function* ofKms({ kms }: AgentState, { gateway }: WayIn, now: number): Generator<Trouble> {
  for (const contact of [kms.contact, gateway?.record?.kms]) {
    if (contact === undefined || contact.outcome === 'ok') continue;
    yield {
      what: html`The last call to the <strong>KMS failed</strong> ${age(Math.max(0, now - contact.at))} ago (${contact.outcome}).`,
      next: html`What runs goes on; new certificates do not. Look at the KMS and the way to it.`,
      runbook: 'DstackKmsCallFails',
    };
    return;
  }
}

/**
 * Everything that somebody should look at, the worst first.
 * @param wayIn undefined where the app keeps the figures of its machine private
 * @param now Unix seconds
 */
export function troublesOf(
  state: AgentState,
  readiness: Readiness,
  boot: BootState,
  containers: Attempt<readonly ContainerReport[]>,
  wayIn: WayIn | undefined,
  now: number,
): Trouble[] {
  const { publicLogs } = state.compose;
  const health = state.health.verdict();
  const unhealthy: Trouble[] = health.healthy
    ? []
    : [
        {
          what: html`The app is ${describe(health)}. Gateways send it no traffic meanwhile.`,
          next: html`<a href="/readyz">readiness</a> names what was looked at.`,
          runbook: 'DstackAppUnhealthy',
        },
      ];
  return [
    ...ofBoot(readiness, boot, publicLogs),
    ...unhealthy,
    ...ofContainers(containers, publicLogs),
    ...(wayIn?.gateway === undefined || boot.state === 'running' ? [] : ofGateway(wayIn.gateway, now)),
    ...(wayIn === undefined ? [] : ofCertificates(wayIn.certificates, now)),
    ...(wayIn === undefined ? [] : ofKms(state, wayIn, now)),
  ];
}

/** The box above everything else; nothing for no troubles. */
export function troubleBox(troubles: readonly Trouble[]): Html {
  if (troubles.length === 0) return html``;
  const items = troubles.map(
    ({ what, next, runbook }) =>
      html`<li><p>${what}</p><p class="next">${next} <span class="soft">Runbook: <code>docs/runbooks.md#${runbook.toLowerCase()}</code></span></p></li>\n`,
  );
  return html`<section class="todo" role="status" aria-labelledby="todo">
<h2 id="todo">What to do next</h2>
<ul>
${items}</ul>
</section>
`;
}
