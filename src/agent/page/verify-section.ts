/** Evidence to take along, and the commands that judge it: what the page says is a claim, the quote is the proof. */
import { toHex } from '../../codec/hex.ts';
import { Recent } from '../figures/recent.ts';
import type { ReportedIdentity } from '../services/app-report.ts';
import { appKeyEvidence } from '../services/public-evidence.ts';
import type { AgentState } from '../state.ts';
import { type Html, html } from './html.ts';
import { type Attempt, attempt, bytes, copyBox, moment, section } from './parts.ts';

/** The key whose attestation is shown. */
const ALGORITHM = 'ed25519';
/** readers of the page share one quote for so long */
const AGE_MS = 60_000;
/** a larger log is fetched instead of copied */
const LOG_LIMIT = 256 * 1024;

export interface PageEvidence {
  /** Unix milliseconds */
  readonly taken: number;
  readonly quote: Uint8Array;
  readonly eventLog: string;
}

const recent = new WeakMap<AgentState, Recent<PageEvidence>>();

/** A quote over the public key of the app, at most a minute old. */
export function pageEvidence(state: AgentState): Promise<Attempt<PageEvidence>> {
  const known = recent.get(state) ?? new Recent<PageEvidence>(AGE_MS);
  recent.set(state, known);
  return attempt(() =>
    known.get('evidence', async () => {
      const taken = Date.now();
      const { quote, event_log } = await appKeyEvidence(state, ALGORITHM);
      return { taken, quote, eventLog: event_log };
    }),
  );
}

/** @param host the Host header of the request: foreign text */
export function verifySection(
  state: AgentState,
  identity: Attempt<ReportedIdentity>,
  evidence: Attempt<PageEvidence> | undefined,
  host: string | undefined,
): Html {
  return section(
    'verify',
    'Verify this yourself',
    html`<p>What this page says is a claim of the machine behind it. The proof is a quote, signed by the processor over what
was measured. Fetch it and judge it on a machine that you trust:</p>
${copyBox(fetchCommand(host))}
${copyBox(verifyCommand(identity))}
<p>The compose hash is the SHA-256 of the app’s <code>app-compose.json</code>. Compare it with the file that you expect:</p>
${copyBox('sha256sum app-compose.json')}
${state.compose.publicTcbinfo && evidence !== undefined ? evidenceBoxes(evidence) : ''}`,
  );
}

/**
 * Where a reader reaches this guest. Behind a gateway the address has no port of its own, and TLS.
 * @param host the Host header: foreign text, used only if it is a name or an address
 */
export function baseUrl(host: string | undefined): string {
  const valid = host !== undefined && /^(?:[\w.-]{1,255}|\[[0-9a-f:]{2,45}\])(?::\d{1,5})?$/i.test(host);
  return !valid ? 'http://GUEST:8090' : /:\d+$/.test(host) ? `http://${host}` : `https://${host}`;
}

function fetchCommand(host: string | undefined): string {
  return `curl -sS '${baseUrl(host)}/prpc/Worker.GetAttestationForAppKey?algorithm=${ALGORITHM}' -o evidence.json`;
}

function verifyCommand(identity: Attempt<ReportedIdentity>): string {
  // the first run needs collateral; later ones find it in their cache
  const lines = ['dstack-util verify evidence.json', '  --collateral https://api.trustedservices.intel.com'];
  if ('value' in identity) {
    const { appId, composeHash } = identity.value.app;
    lines.push(`  --expect app-id=${toHex(appId)}`, `  --expect compose-hash=${toHex(composeHash)}`);
  }
  return lines.join(' \\\n');
}

function evidenceBoxes(evidence: Attempt<PageEvidence>): Html {
  if ('failure' in evidence) return html`<p class="bad">No quote can be taken now: ${evidence.failure}</p>`;
  const { quote, eventLog, taken } = evidence.value;
  const box = (id: string, name: string, text: string) =>
    html`<label for="${id}">${name}</label>\n<textarea id="${id}" readonly rows="4" spellcheck="false">${text}</textarea>\n`;
  const log =
    eventLog.length > LOG_LIMIT
      ? html`<p class="soft">The event log has ${bytes(eventLog.length)}: fetch it with the first command.</p>`
      : box('event-log', 'Event log, JSON', eventLog);
  return html`<details><summary>Quote and event log, taken ${moment(taken)}</summary>
${box('quote', `Quote, ${quote.length} bytes as hex`, toHex(quote))}${log}</details>`;
}
