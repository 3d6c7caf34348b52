/** Evidence to take along, and the commands that judge it: what the page says is a claim, the quote is the proof. */
import { toHex } from '../../codec/hex.ts';
import { Recent } from '../figures/recent.ts';
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

/**
 * Nothing that is expected comes from this guest: a page that names its own hash could only confirm itself.
 * @param host the Host header of the request: foreign text
 */
export function verifySection(
  state: AgentState,
  evidence: Attempt<PageEvidence> | undefined,
  host: string | undefined,
): Html {
  return section(
    'verify',
    'Verify this yourself',
    html`<p>What this page says is a claim of the machine behind it. The proof is a quote, signed by the processor over what
was measured. Judge it on a machine that you trust, by what <b>you</b> expect: your own copy of the app’s document and, with
<code>--image</code>, the operating system image.</p>
${copyBox(EXPECT)}
${copyBox(fetchCommand(host))}
${copyBox(JUDGE)}
<p>Do not take a hash from this page for it. <b>This evidence proves no freshness</b>: it is over a public key of the app, not over
a number of yours, and an old answer would pass as well. For that the app has to ask its agent for a quote over a number that you
made, which <code>verify</code> then demands:</p>
${copyBox(FRESH)}
${state.compose.publicTcbinfo && evidence !== undefined ? evidenceBoxes(evidence) : ''}`,
  );
}

const EXPECT = 'dstack-util verify init app-compose.json --no-fresh --out expect.json';
/** The first run needs collateral; later ones find it in their cache. */
const JUDGE = [
  'dstack-util verify evidence.json --expect-file expect.json',
  '  --collateral https://api.trustedservices.intel.com',
].join(' \\\n');
const FRESH = `nonce=$(openssl rand -hex 32)
curl -sf --unix-socket /run/dstack.sock -H 'content-type: application/json' \\
  -d "{\\"report_data\\":\\"$nonce\\"}" http://dstack/GetQuote > answer.json
dstack-util verify answer.json --expect-file expect.json --expect report-data=$nonce`;

/**
 * Where a reader reaches this guest. Behind a gateway the address has no port of its own, and TLS.
 * @param host the Host header: foreign text, used only if it is a name or an address
 */
export function baseUrl(host: string | undefined): string {
  const valid = host !== undefined && /^(?:[\w.-]{1,255}|\[[0-9a-f:]{2,45}\])(?::\d{1,5})?$/i.test(host);
  return !valid ? 'http://GUEST:8090' : /:\d+$/.test(host) ? `http://${host}` : `https://${host}`;
}

function fetchCommand(host: string | undefined): string {
  return `curl -sSf '${baseUrl(host)}/prpc/Worker.GetAttestationForAppKey?algorithm=${ALGORITHM}' -o evidence.json`;
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
