/** The runtime events: what was measured into RTMR3, readable, with the digest that went into the register. */
import { fromHex, toHex } from '../../codec/hex.ts';
import { extend, RUNTIME_IMR } from '../../tdx/events.ts';
import { REGISTER_SIZE } from '../../tdx/replay.ts';
import { isMeasured } from '../../tdx/tdx-event.ts';
import type { ReportedIdentity } from '../services/app-report.ts';
import { type Html, html } from './html.ts';
import { count, section } from './parts.ts';

type Event = ReportedIdentity['eventLog'][number];

/** an app may measure as many and as long events as it likes: the page shows the beginning */
const SHOWN_EVENTS = 200;
const SHOWN_CHARACTERS = 512;

export const runtimeEvents = ({ eventLog }: ReportedIdentity): Event[] =>
  eventLog.filter(({ imr, event_type: eventType }) => imr === RUNTIME_IMR && isMeasured({ eventType }));

export function eventSection(identity: ReportedIdentity): Html {
  const events = runtimeEvents(identity);
  const firmware = identity.eventLog.length - events.length;
  const items = events.slice(0, SHOWN_EVENTS).map(item);
  const more = events.length - items.length;
  return section(
    'events',
    'Measured events',
    html`<p class="soft">${count(events.length, 'event')} measured into RTMR3, in this order, after ${count(firmware, 'event')} of the firmware. ${replayed(events, identity)}</p>
<details><summary>The events with payload and digest</summary>
<ol class="events">
${items}</ol>
${more > 0 ? html`<p class="soft">${count(more, 'more event')} in the event log.</p>` : ''}</details>`,
  );
}

/** Whether the digests explain the register. It is this machine's own word: verify it with a quote. */
function replayed(events: readonly Event[], { rtmrs }: ReportedIdentity): Html {
  let register: Uint8Array = new Uint8Array(REGISTER_SIZE);
  for (const { digest } of events) register = extend(register, fromHex(digest));
  return toHex(register) === rtmrs[RUNTIME_IMR]
    ? html`<span class="good">They replay to RTMR3.</span>`
    : html`<span class="bad">They do not replay to RTMR3.</span>`;
}

function item({ event, event_payload, digest }: Event, index: number): Html {
  const { text, kind } = readable(event_payload);
  return html`<li id="event-${index + 1}">
<strong>${event}</strong> <span class="soft">${kind}</span>
${text === '' ? '' : html`<code class="payload">${text}</code>\n`}<span class="digest">SHA-384 <code>${digest}</code></span>
</li>\n`;
}

/**
 * A payload for people: text where every byte is part of printable text, else hex.
 * @param payload hex
 */
export function readable(payload: string): { readonly text: string; readonly kind: string } {
  const bytes = fromHex(payload);
  const size = count(bytes.length, 'byte');
  if (bytes.length === 0) return { text: '', kind: 'no payload' };
  let text: string | undefined;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {}
  const isText = text !== undefined && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text);
  const shown = isText ? (text as string) : payload;
  if (shown.length <= SHOWN_CHARACTERS) return { text: shown, kind: `${isText ? 'text' : 'hex'}, ${size}` };
  return { text: `${shown.slice(0, SHOWN_CHARACTERS)}…`, kind: `${isText ? 'text' : 'hex'}, the beginning of ${size}` };
}
