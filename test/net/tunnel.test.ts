import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { netnsMissing } from './netns.ts';
import { GUEST_IP, Tunnel } from './tunnel.ts';

const missing = netnsMissing('iptables', 'iptables-restore', 'wg', 'wg-quick', 'wireguard-go', 'curl');

describe.skipIf(missing !== undefined)(`a real tunnel (${missing ?? 'checked here'})`, { timeout: 60_000 }, () => {
  let tunnel: Tunnel;
  beforeAll(async () => {
    tunnel = await Tunnel.open();
  }, 30_000);
  afterAll(() => tunnel?.close());

  it('carries the page of the app to the gateway, and nothing else to the WireGuard port', async () => {
    const gateway = await tunnel.gateway();
    expect(await tunnel.guest('force')).toEqual({ outcome: 'joined' });
    const registered = gateway.events.at(-1);
    expect(registered).toMatchObject({ event: 'registered', app: '11'.repeat(20), ip: '10.4.0.10', peers: 1 });
    expect(tunnel.page('10.4.0.10')).toBe('the page');

    tunnel.gatewaySide.sh('ip address add 10.99.0.66/24 dev cable');
    const send = (from: string) =>
      tunnel.gatewaySide.sh(
        `${process.execPath} -e 'const s=require("dgram").createSocket("udp4");s.bind(0,"${from}",()=>s.send("x",9182,"${GUEST_IP}",()=>s.close()))'`,
      );
    const dropped = () => Number(/^\s*(\d+).*DROP/m.exec(tunnel.guestSide.sh('iptables -nvxL DSTACK_WG'))?.[1]);
    const before = dropped();
    send('10.99.0.66');
    expect(dropped()).toBe(before + 1);
    send('10.99.0.1');
    expect(dropped()).toBe(before + 1);

    expect(await tunnel.guest('refresh')).toEqual({ outcome: 'unchanged' });
    gateway.process.kill('SIGHUP'); // forgets the guest
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(tunnel.page('10.4.0.10', 2)).toBeUndefined();
    expect(await tunnel.guest('force')).toEqual({ outcome: 'joined' });
    expect(gateway.events.at(-1)).toMatchObject({ event: 'registered' });
    expect(tunnel.page(gateway.events.at(-1)?.['ip'])).toBe('the page');
    await gateway.stop();
  });

  it('is not touched by a gateway with another app id, one that dies, or one that talks nonsense', async () => {
    const faults: [string[], RegExp][] = [
      [['--wrong-app-id'], /belongs to app/],
      [['--down'], /RegisterCvm.*10\.99\.0\.1/],
      [['--die-mid-answer'], /closed in the middle/],
      [['--garbage'], /client_ip must be an IPv4 address/],
    ];
    const config = () => tunnel.guestSide.sh(`cat ${tunnel.dir}/wireguard/dstack-wg0.conf`);
    const before = config();
    for (const [fault, reason] of faults) {
      const gateway = await tunnel.gateway(1, ...fault);
      const done = await tunnel.guest('force');
      expect(done.code).toBe('GATEWAY_UNREACHABLE');
      expect(done.chain).toMatch(reason);
      expect(config()).toBe(before);
      await gateway.stop();
    }
  });

  it('moves to the second gateway when the first one is dead', async () => {
    await tunnel.gatewayUrls(1, 2);
    const second = await tunnel.gateway(2);
    expect(await tunnel.guest('refresh')).toEqual({ outcome: 'joined' });
    expect(tunnel.page(second.events.at(-1)?.['ip'])).toBe('the page');
    await second.stop();
  });

  it('shows an older gateway its quote', async () => {
    await tunnel.gatewayUrls(1);
    const gateway = await tunnel.gateway(1, '--old-version', '--delay', '300');
    expect(await tunnel.guest('force')).toEqual({ outcome: 'joined' });
    expect(gateway.events.map(({ event, error }) => error ?? event)).toEqual([
      undefined,
      'no attestation provided',
      'registered',
    ]);
    expect(tunnel.page(gateway.events.at(-1)?.['ip'])).toBe('the page');
    await gateway.stop();
  });
});
