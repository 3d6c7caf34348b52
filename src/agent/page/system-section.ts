/** The machine and its network in figures. */

import type { GatewayReading } from '../figures/gateway-figures.ts';
import { networkFigures } from '../figures/network-info.ts';
import { type Disk, systemFigures } from '../figures/system-info.ts';
import type { AgentState } from '../state.ts';
import { type Html, html } from './html.ts';
import { age, attempt, bar, bytes, mono, percent, row, section } from './parts.ts';

export async function systemSection(state: AgentState): Promise<Html> {
  const [system, busy] = await Promise.all([
    attempt(() => systemFigures(state.dataDisks)),
    attempt(() => state.cpuShare.read()),
  ]);
  if ('failure' in system) return html``;
  const { memory, load, disks, ...figures } = system.value;
  const share = 'value' in busy ? busy.value : undefined;
  // some hypervisors do not tell the clock, and some models have it in their name
  const processor = `${figures.cpus} × ${figures.cpuModel.replace(/ @0 MHz$|(?<=GHz) @\d+ MHz$/, '')}`;
  return section(
    'system',
    'System',
    html`<dl>
${row('Software', `${figures.osName} ${figures.osVersion}, Linux ${figures.kernel}`)}${row('Processors', share === undefined ? processor : html`${processor}${bar(0, share, 'used')}<span class="soft">${percent(share)} busy</span>`)}${row('Load', load.map((value) => value.toFixed(2)).join(', '))}${used('Memory', memory.total, memory.available)}${used('Swap', memory.swapTotal, memory.swapFree)}${disks.map(disk)}${row('Up', age(figures.uptime))}</dl>`,
  );
}

/** A read-only file system has no free space by its nature: a full bar would look like a fault. */
function disk({ mountPoint, size, used: taken, available, readOnly }: Disk): Html {
  const place = html`<code class="soft">${mountPoint}</code>`;
  if (readOnly) return row('Disk', html`${place}<br>${bytes(size)}, read-only`);
  // as df counts: what is free but reserved belongs to neither
  const share = taken + available === 0 ? 0 : taken / (taken + available);
  return row(
    'Disk',
    html`${place}${bar(0, share, 'used')}<span>${bytes(taken)} used, ${bytes(available)} free of ${bytes(size)}</span>`,
  );
}

function used(name: string, total: number | undefined, free: number | undefined): Html | string {
  if (total === undefined || free === undefined) return '';
  if (total === 0) return row(name, '');
  const amount = Math.max(0, total - free);
  return row(name, html`${bar(0, amount / total, 'used')}<span>${bytes(amount)} of ${bytes(total)}</span>`);
}

/** The dstack gateway: the last registration and the newest handshake of the tunnel. */
function gatewayRows({ registered, record, handshakes }: GatewayReading): Html {
  const now = Date.now() / 1000;
  const ago = (seconds: number) => `${age(Math.max(0, now - seconds))} ago`;
  const latest = Math.max(0, ...(handshakes?.values() ?? []));
  const last = record?.registeredAt === undefined ? 'never' : ago(record.registeredAt);
  return html`${registered === undefined ? '' : row('Gateway', registered ? `registered ${last}` : html`<span class="bad">not registered</span>, last time: ${last}`)}${handshakes === undefined ? '' : row('Tunnel', latest === 0 ? 'no handshake yet' : `last handshake ${ago(latest)}`)}`;
}

export async function networkSection(state: AgentState): Promise<Html> {
  const [figures, gateway] = await Promise.all([attempt(() => networkFigures()), state.gateway.read()]);
  if ('failure' in figures) return html``;
  const { interfaces, gateways, dns_servers } = figures.value;
  const list = (addresses: readonly string[]): Html | string => mono(addresses.join(', '));
  const rows = interfaces.map(({ name, addresses, rx_bytes, tx_bytes, rx_errors, tx_errors }) => {
    const errors = Number(rx_errors) + Number(tx_errors);
    return row(
      name,
      html`${list(addresses.map(({ address, prefix }) => `${address}/${prefix}`))}<br><span class="soft">${bytes(Number(rx_bytes))} received, ${bytes(Number(tx_bytes))} sent${errors > 0 ? `, ${errors} errors` : ''}</span>`,
    );
  });
  return section(
    'network',
    'Network',
    html`<dl>
${rows}${gateway === undefined ? '' : gatewayRows(gateway)}${row('Default route', list(gateways.map(({ address }) => address)))}${row('Resolver', list(dns_servers))}</dl>`,
  );
}
