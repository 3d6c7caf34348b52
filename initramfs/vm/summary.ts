/** The result of a start: as text for people, as an object for programs. */
import type { DemoCheck, Measured } from './checks.ts';
import { replays } from './checks.ts';
import type { Proof } from './host-verifier.ts';

/** Whether the app's page came through the gateway. */
export interface TunnelCheck {
  readonly ok: boolean;
  /** address of the guest in the VPN; empty when it never registered */
  readonly guest: string;
  /** on this host, leads through the tunnel */
  readonly url: string;
}

/** Where the keys of the app came from, and what that meant for its data disk. */
export interface KeyFacts {
  readonly provider: string;
  /** hex; empty for providers without one */
  readonly id: string;
  readonly disk: 'new' | 'opened again';
}

export interface Summary {
  readonly measured: Measured;
  /** what `verify` says of its evidence */
  readonly proof?: Proof;
  readonly keys?: KeyFacts;
  /** what the demo answered; undefined for another app */
  readonly demo?: DemoCheck;
  /** with a gateway only */
  readonly tunnel?: TunnelCheck;
  readonly keyAnswered: boolean;
  readonly agentUrl: string;
  readonly appUrls: readonly string[];
  readonly consoleLog: string;
  readonly readyMs: number;
}

/** Whether everything that was asked has answered as it must. */
export function isGood({ measured, proof, demo, keyAnswered, tunnel }: Summary): boolean {
  if (proof !== undefined && !(proof.system && proof.app)) return false;
  return replays(measured) && keyAnswered && tunnel?.ok !== false && (demo === undefined || demoIsGood(demo, measured));
}

function demoIsGood(demo: DemoCheck, measured: Measured): boolean {
  return demo.quote_contains_report_data && demo.app_id === measured.appId && /^[0-9a-f]{64}$/.test(demo.public_key);
}

/** The summary as aligned lines. @param width columns of the terminal; a longer register is folded there */
export function summaryText(
  summary: Summary,
  paint: (sgr: number, text: string) => string = (_, text) => text,
  width = Number.POSITIVE_INFINITY,
): string {
  const { measured, demo } = summary;
  const verdict = (good: boolean, yes: string, no: string) => (good ? paint(32, `✓ ${yes}`) : paint(31, `✗ ${no}`));
  const count = measured.events.length;
  const rows: [string, string][] = [
    ['app id', measured.appId],
    ['instance id', measured.instanceId === '' ? '(none)' : measured.instanceId],
    ...folded(measured.rtmr3, width - LABEL).map((part, i): [string, string] => [i === 0 ? 'RTMR3' : '', part]),
    ['', verdict(replays(measured), `replays from ${count} events`, `the log replays to ${measured.replayed}`)],
    ['GetKey', verdict(summary.keyAnswered, 'answers', 'does not answer')],
  ];
  if (summary.keys) {
    const { provider, id, disk } = summary.keys;
    // the end of the id is the key itself, its beginning says only which kind of key
    rows.push(['keys from', id === '' ? provider : `${provider} …${id.slice(-32)}`], ['data disk', disk]);
  }
  if (demo) {
    rows.push(['demo key', demo.public_key], ['', 'ed25519, public']);
    rows.push([
      'demo quote',
      verdict(demo.quote_contains_report_data, 'contains the report data', 'lacks the report data'),
    ]);
  }
  if (summary.tunnel) {
    const { ok, guest, url } = summary.tunnel;
    rows.push([
      'gateway',
      verdict(ok, `carries the page of ${guest}`, `does not reach the app (${guest || 'not registered'})`),
    ]);
    rows.push(['', url]);
  }
  if (summary.proof) {
    const { system, app, why } = summary.proof;
    const words = [
      verdict(system, 'system image proven', 'system image not proven'),
      verdict(app, 'app proven', 'app not proven'),
    ];
    rows.push(['evidence', words.join(', ')], ...why.map((line): [string, string] => ['', line]));
  }
  for (const url of summary.appUrls) rows.push(['app', url]);
  rows.push(['agent', summary.agentUrl], ['console log', summary.consoleLog]);
  return rows.map(([label, text]) => `  ${paint(2, label.padEnd(12))} ${text}`).join('\n');
}

/** Columns before the text of a row. */
const LABEL = 15;

/** Hex digits on one line, or in equal parts where the line is too short. */
function folded(hex: string, width: number): string[] {
  const parts = hex.length <= width || width < 16 ? 1 : Math.ceil(hex.length / width);
  const length = Math.ceil(hex.length / parts / 16) * 16;
  return hex.match(new RegExp(`.{1,${length}}`, 'g')) ?? [];
}

/** The summary for `--json`. */
export function summaryJson(summary: Summary): Record<string, unknown> {
  const { measured, demo } = summary;
  return {
    ok: isGood(summary),
    app_id: measured.appId,
    instance_id: measured.instanceId,
    rtmr3: measured.rtmr3,
    rtmr3_replays: replays(measured),
    events: measured.events,
    proof: summary.proof ?? null,
    get_key: summary.keyAnswered,
    keys: summary.keys ?? null,
    demo: demo ?? null,
    tunnel: summary.tunnel ?? null,
    agent_url: summary.agentUrl,
    app_urls: summary.appUrls,
    console_log: summary.consoleLog,
    ready_ms: Math.round(summary.readyMs),
  };
}
