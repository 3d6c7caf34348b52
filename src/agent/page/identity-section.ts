/** Who this app is, as the measured events tell, and the registers they were measured into. */
import { toHex } from '../../codec/hex.ts';
import type { ReportedIdentity } from '../services/app-report.ts';
import type { AgentState } from '../state.ts';
import { type Html, html } from './html.ts';
import { type Attempt, mono, row, section } from './parts.ts';

/** @param cloud what the (virtual) machine calls itself; it comes from the host and proves nothing */
export function identitySection(state: AgentState, identity: Attempt<ReportedIdentity>, cloud: string): Html {
  if ('failure' in identity) {
    return section('identity', 'Identity', html`<p class="bad">No evidence can be taken: ${identity.failure}</p>`);
  }
  const { app, mrtd, rtmrs } = identity.value;
  const registers = html`<details><summary>Registers</summary>
<dl>
${row('MRTD', mono(mrtd))}${rtmrs.map((value, index) => row(`RTMR${index}`, mono(value)))}${row('Aggregated', mono(toHex(app.mrAggregated)))}</dl></details>`;
  return section(
    'identity',
    'Identity',
    html`<dl>
${row('App id', mono(toHex(app.appId)))}${row('Instance id', mono(toHex(app.instanceId)))}${row('Compose hash', mono(toHex(app.composeHash)))}${row('OS image hash', mono(toHex(app.osImageHash)))}${row('Device id', mono(toHex(app.deviceId)))}${row('Key provider', keyProvider(app.keyProviderInfo))}${row('Runner', state.compose.runner)}${cloud === '' ? '' : row('Machine', cloud)}</dl>
${state.compose.publicTcbinfo ? registers : html`<p class="soft note">This app keeps its registers and its event log private.</p>`}`,
  );
}

/** The measured key provider document: its name, and the id of a provider that has one. */
function keyProvider(info: Uint8Array): Html | string {
  const text = Buffer.from(info).toString('utf8');
  try {
    const { name, id } = JSON.parse(text) as { name?: unknown; id?: unknown };
    if (typeof name !== 'string') return text;
    return typeof id === 'string' && id !== '' ? html`${name} <code>${id}</code>` : name;
  } catch {
    return text;
  }
}
