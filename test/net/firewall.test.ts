import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { allowServers, nftRules, restoreRules, serverAddresses } from '../../src/net/firewall.ts';
import type { WireGuardServer } from '../../src/net/gateway-response.ts';
import { NetworkNamespace, netnsMissing } from './netns.ts';

const servers = (...endpoints: string[]): WireGuardServer[] =>
  endpoints.map((endpoint) => ({ pk: '', ip: '10.4.0.1', endpoint }));

describe('the firewall rules', () => {
  it('replace the chain and the jump in one transaction', () => {
    expect(restoreRules(['203.0.113.5'], true)).toBe(
      '*filter\n:DSTACK_WG - [0:0]\n-D INPUT -p udp --dport 9182 -j DSTACK_WG\n' +
        '-I INPUT 1 -p udp --dport 9182 -j DSTACK_WG\n-A DSTACK_WG -s 203.0.113.5 -j ACCEPT\n-A DSTACK_WG -j DROP\nCOMMIT\n',
    );
    expect(restoreRules([], false)).not.toContain('-D INPUT');
  });

  it('end in drop also when no server is listed', () => {
    expect(restoreRules([], false)).toContain('-A DSTACK_WG -j DROP');
    expect(nftRules({ v4: [], v6: [] })).toMatch(/chain DSTACK_WG \{\n {4}drop\n/);
  });

  it('take the addresses of names, each once and by family', async () => {
    const found = await serverAddresses(
      servers('gw.example:9182', '192.0.2.1:1', '[2001:db8::1]:2'),
      async () => ['192.0.2.9', '192.0.2.1', '2001:db8::2'],
      [],
    );
    expect(found).toEqual({ v4: ['192.0.2.1', '192.0.2.9'], v6: ['2001:db8::1', '2001:db8::2'] });
  });

  it('say which name does not resolve', async () => {
    const tools = { run: () => expect.fail('ran'), installed: async () => true };
    await expect(allowServers(servers('nowhere.invalid:9182'), tools, [])).rejects.toMatchObject({
      code: 'GATEWAY_UNREACHABLE',
      value: 'nowhere.invalid',
    });
  });

  it.each(['127.0.0.1', '::1', '169.254.169.254', '192.0.2.7'])('let no name stand for %s', async (address) => {
    const tools = { run: () => expect.fail('ran'), installed: async () => true, resolve: async () => [address] };
    const occupied = [{ address: '192.0.2.7', prefix: 32, by: 'eth0 of this machine', own: true }];
    await expect(allowServers(servers('gw.example:9182'), tools, occupied)).rejects.toMatchObject({
      code: 'GATEWAY_UNREACHABLE',
      field: 'endpoint',
      value: address,
    });
  });

  it('are an error when the image has no tool for them', async () => {
    const tools = { run: () => expect.fail('ran'), installed: async () => false };
    await expect(allowServers(servers('192.0.2.1:1'), tools, [])).rejects.toMatchObject({ code: 'FIREWALL_FAILED' });
  });
});

/** Counts what arrives at port 9182 by source until it is told `end` in a packet to another port. */
const RECEIVER = `
const dgram = require('node:dgram');
const counts = {};
dgram.createSocket('udp4').on('message', (_, { address }) => { counts[address] = (counts[address] ?? 0) + 1; })
  .bind(9182, '127.0.0.1', () => console.log('ready'));
dgram.createSocket('udp4').on('message', () => { console.log(JSON.stringify(counts)); process.exit(0); }).bind(9183, '127.0.0.1');
`;
/** Sends from two addresses, one packet each millisecond and address, for a while; then ends the receiver. */
const SENDER = `
const dgram = require('node:dgram');
const sockets = ['198.51.100.2', '198.51.100.3'].map((address) => { const s = dgram.createSocket('udp4'); s.bind(0, address); return s; });
const timer = setInterval(() => { for (const s of sockets) s.send('x', 9182, '127.0.0.1'); }, 1);
setTimeout(() => { clearInterval(timer); sockets[0].send('end', 9183, '127.0.0.1', () => process.exit(0)); }, Number(process.argv[1]));
`;

const TOOLS = [
  ['iptables-restore', ['iptables', 'iptables-restore', 'ip6tables-restore']],
  ['nft', ['nft']],
] as const;

describe.each(TOOLS)('real packets with %s', (tool, programs) => {
  const missing = netnsMissing(...programs);
  let ns: NetworkNamespace;
  beforeEach(async () => {
    if (missing === undefined) ns = await NetworkNamespace.open();
  });
  afterEach(() => ns?.close());

  const tools = () => ({
    run: ns.run,
    installed: async (program: string) => program === (tool === 'nft' ? 'nft' : 'iptablesRestore'),
  });

  it.skipIf(missing !== undefined)(
    `drop what no server sent, also in the moment of a change (${missing ?? 'checked here'})`,
    { timeout: 60_000 },
    async () => {
      ns.sh('ip address add 198.51.100.2/32 dev lo && ip address add 198.51.100.3/32 dev lo');
      await allowServers(servers('198.51.100.2:9182'), tools(), []);
      const receiver = ns.start(RECEIVER);
      let text = '';
      const counted = new Promise<Record<string, number>>((resolve) => {
        receiver.stdout?.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        receiver.once('close', () => resolve(JSON.parse(text.replace('ready\n', ''))));
      });
      await new Promise((resolve) => receiver.stdout?.once('data', resolve));
      const sender = ns.start(SENDER, '2500');
      const ended = new Promise((resolve) => sender.once('exit', resolve));
      let changes = 0;
      while (sender.exitCode === null && changes < 200) {
        await allowServers(servers('198.51.100.2:9182', `203.0.113.${changes % 250}:9182`), tools(), []);
        changes += 1;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await ended;
      const counts = await counted;
      expect(changes).toBeGreaterThan(5);
      expect(counts['198.51.100.2']).toBeGreaterThan(100);
      expect(counts['198.51.100.3']).toBeUndefined();
    },
  );

  it.skipIf(missing !== undefined)('forget servers that are gone and leave other rules alone', async () => {
    if (tool === 'nft') ns.sh('nft add table inet other; nft add chain inet other keep');
    else ns.sh('iptables -A INPUT -p tcp --dport 22 -j ACCEPT');
    await allowServers(servers('192.0.2.1:9182'), tools(), []);
    await allowServers(servers('192.0.2.2:9182'), tools(), []);
    const rules = tool === 'nft' ? ns.sh('nft list ruleset') : ns.sh('iptables -S; ip6tables -S');
    expect(rules).toContain('192.0.2.2');
    expect(rules).not.toContain('192.0.2.1');
    expect(rules).toContain(tool === 'nft' ? 'chain keep' : '--dport 22');
    if (tool === 'nft') return;
    const input = rules.split('\n').filter((line) => line.startsWith('-A INPUT'));
    expect(input.filter((line) => line.includes('DSTACK_WG'))).toHaveLength(2); // one a family
    expect(input[0]).toBe('-A INPUT -p udp -m udp --dport 9182 -j DSTACK_WG');
  });

  it.skipIf(missing !== undefined)('stay as they are when a change fails', async () => {
    await allowServers(servers('192.0.2.1:9182'), tools(), []);
    const bad = { v4: ['192.0.2.2', '192.0.2.999'], v6: [] };
    const change =
      tool === 'nft'
        ? ns.run('nft', ['-f', '-'], { stdin: nftRules(bad) })
        : ns.run('iptablesRestore', ['--noflush'], { stdin: restoreRules(bad.v4, true) });
    await expect(change).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
    const rules = tool === 'nft' ? ns.sh('nft list ruleset') : ns.sh('iptables -S');
    expect(rules).toContain('192.0.2.1');
    expect(rules).not.toContain('192.0.2.2');
    expect(rules.toLowerCase()).toContain('drop');
  });
});
