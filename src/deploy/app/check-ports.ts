/** Published ports: who gets them, and who reaches them through the gateway. */
import type { AppCompose } from '../../config/app-compose.ts';
import type { ComposeSource } from '../compose-file.ts';
import type { Findings } from './finding.ts';
import { portsOf } from './shape.ts';

/** The guest agent listens here on every address (docs/agent.md). */
const AGENT_PORT = 8090;
const LAST_PORT = 65_535;

type Network = Pick<AppCompose, 'gatewayEnabled' | 'portPolicy'>;

export function checkPorts({ services }: ComposeSource, findings: Findings, app?: Network): void {
  const taken = new Map<string, string>();
  let reachable = 0;
  let open = false;
  for (const [name, service] of services) {
    // a service of a profile is not started unless it is asked for
    const idle = Array.isArray(service['profiles']) && service['profiles'].length > 0;
    open ||= service['network_mode'] === 'host';
    portsOf(service['ports']).forEach(({ host, ip, protocol }, i) => {
      const where = `services.${name}.ports[${i}]`;
      if (host === undefined) {
        const text = 'docker chooses a port of the guest at each start: nobody outside knows it';
        findings.add('warning', 'port-random', where, text, 'write "8080:8080"');
        return;
      }
      const loopback = isLoopback(ip);
      for (const port of portsIn(host)) {
        const key = `${protocol} ${port}`;
        if (protocol === 'tcp' && port === AGENT_PORT) {
          const text = `port ${AGENT_PORT} of the guest belongs to the guest agent`;
          findings.add('refused', 'port-agent', where, text, 'publish another port: "8080:8090"');
        } else if (taken.has(key) && !idle && ip === '') {
          findings.add(
            'refused',
            'port-twice',
            where,
            `port ${port} of the guest is published by ${taken.get(key)} already`,
          );
        }
        if (!idle && ip === '') taken.set(key, name);
      }
      if (loopback) {
        const text = `only the guest itself reaches ${ip}: no gateway, no port of the host`;
        findings.add('warning', 'port-loopback', where, text, 'leave the address out if others should reach it');
      } else if (protocol !== 'tcp') {
        findings.add('warning', 'port-udp', where, `the gateway carries TCP only, not ${protocol}`);
      } else {
        reachable++;
        policy(host, where, findings, app);
      }
    });
  }
  if (app === undefined) return;
  if (reachable > 0 && !app.gatewayEnabled) {
    const text = 'the gateway is off: only ports that the host forwards reach the app';
    findings.add('note', 'gateway-off', 'gateway_enabled', text, 'set gateway_enabled, or let the host forward ports');
  } else if (reachable === 0 && !open && app.gatewayEnabled) {
    findings.add('note', 'gateway-idle', 'gateway_enabled', 'no service publishes a port that the gateway could reach');
  }
}

/** Ports of the guest that others reach: TCP, not only on loopback, of services that are started without being asked for. */
export function publishedPorts({ services }: Pick<ComposeSource, 'services'>): number[] {
  const ports = [...services.values()]
    .filter(({ profiles }) => !Array.isArray(profiles) || profiles.length === 0)
    .flatMap((service) => portsOf(service['ports']))
    .filter(({ host, ip, protocol }) => host !== undefined && protocol === 'tcp' && !isLoopback(ip))
    .flatMap(({ host = [0, 0] }) => portsIn(host));
  return [...new Set(ports)];
}

const isLoopback = (ip: string): boolean => /^(127\.|::1$|localhost$)/.test(ip);

const portsIn = ([first, last]: readonly [number, number]): number[] =>
  Array.from({ length: Math.max(0, Math.min(last, LAST_PORT) - first + 1) }, (_, i) => first + i);

function policy(host: readonly [number, number], where: string, findings: Findings, app: Network | undefined): void {
  if (app === undefined || !app.gatewayEnabled || !app.portPolicy.restrictMode) return;
  const closed = portsIn(host).filter((port) => !app.portPolicy.ports.some((entry) => entry.port === port));
  if (closed.length === 0) return;
  const text = `port_policy has restrict_mode and does not list ${closed.slice(0, 4).join(', ')}: the gateway refuses it`;
  findings.add('warning', 'port-policy', where, text, 'add it to port_policy.ports');
}
