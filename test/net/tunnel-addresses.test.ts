import { describe, expect, it } from 'vitest';
import { parseSysConfig } from '../../src/config/sys-config.ts';
import { parseRegistration } from '../../src/net/gateway-response.ts';
import { listOccupied, type Sources } from '../../src/net/occupied.ts';
import { failure } from '../failure.ts';

const PK = `${'B'.repeat(42)}A=`;
const SERVER = { pk: PK, ip: '10.4.0.1/16', endpoint: '203.0.113.7:51820' };
const sysConfig = (more: object = {}) =>
  parseSysConfig(Buffer.from(JSON.stringify({ vm_config: '{}', host_api_url: 'http://10.0.9.100:80/api', ...more })));

/** As a guest in QEMU's user network shows them, with docker up and an older tunnel. */
const SOURCES: Sources = {
  routes: [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0',
    'eth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0',
    'eth1\t0000140A\t0100630A\t0003\t0\t0\t100\t0000FFFF\t0\t0\t0',
    'br-0a1b\t00002A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'dstack-wg0\t0100040A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0',
    '',
  ].join('\n'),
  resolvers: ['nameserver 127.0.0.53\n', '# upstream\nnameserver 10.7.7.7\nnameserver 2001:db8::53\nsearch x\n'],
  docker: '',
  interfaces: Object.fromEntries(
    [
      ['lo', '127.0.0.1'],
      ['eth0', '192.0.2.9'],
      ['dstack-wg0', '10.4.0.7'],
    ].map(([name, address]) => [
      name,
      [{ address, netmask: '', family: 'IPv4', mac: '', internal: false, cidr: null }],
    ]),
  ) as Sources['interfaces'],
};

const occupied = (sources: Partial<Sources> = {}, config = sysConfig()) =>
  listOccupied(config, { ...SOURCES, ...sources });
const answer = (clientIp: string, server: object = {}) => ({
  wg: { client_ip: clientIp, servers: [{ ...SERVER, ...server }] },
});
const parsed = (clientIp: string, server?: object, used = occupied()) =>
  parseRegistration(answer(clientIp, server), 'https://gw', used).clientIp;
const refusal = (clientIp: string, server?: object, used = occupied()) => failure(() => parsed(clientIp, server, used));

/** address, and what the refusal says about it */
const REFUSED: readonly [string, RegExp][] = [
  ['127.0.0.1', /must not be loopback/],
  ['127.255.0.9', /must not be loopback/],
  ['0.0.0.0', /must not be unspecified/],
  ['169.254.169.254', /must not be link-local/],
  ['224.0.0.251', /must not be multicast/],
  ['255.255.255.255', /must not be reserved/],
  ['8.8.8.8', /must be a private address/],
  ['100.64.0.1', /must be a private address/],
  ['172.32.0.1', /must be a private address/],
  ['172.17.0.1', /collides with docker's address pools/],
  ['172.31.255.1', /collides with docker's address pools/],
  ['192.168.49.1', /collides with docker's address pools/],
  ['10.42.7.7', /collides with the network of br-0a1b/],
  ['10.0.2.15', /collides with the network of eth0 \(10\.0\.2\.0\/24\)/],
  ['10.99.0.1', /collides with a next hop of eth1/],
  ['10.7.7.7', /collides with a resolver/],
  ['10.0.9.100', /collides with the host API/],
];

describe('an address that a gateway routes into the tunnel', () => {
  it.each(REFUSED)('is not %s', (address, reason) => {
    expect(refusal('10.4.0.7', { ip: address })).toMatchObject({
      code: 'GATEWAY_FAILED',
      field: 'wg.servers[0].ip',
      message: expect.stringMatching(reason),
    });
    expect(refusal(address)).toMatchObject({ field: 'wg.client_ip', message: expect.stringMatching(reason) });
  });

  it.each([
    ['kms_urls', 'a KMS'],
    ['gateway_urls', "a gateway's public address"],
    ['collateral_urls', 'the collateral service'],
    ['nvidia_attestation_proxy_url', 'the attestation proxy'],
    ['docker_registry', 'the docker registry'],
  ])('is not the one in %s of .sys-config.json', (field, by) => {
    const url = 'https://10.5.5.5:8443';
    const value = field.endsWith('_urls') ? [url] : url;
    const config = sysConfig({ [field]: field === 'collateral_urls' ? { pccs: url } : value });
    expect(refusal('10.4.0.7', { ip: '10.5.5.5' }, occupied({}, config)).message).toContain(`collides with ${by}`);
    expect(parsed('10.4.0.7', { ip: '10.5.5.6' }, occupied({}, config))).toBe('10.4.0.7');
  });

  it('is not the address of the machine on an interface without a network', () => {
    const interfaces = { eth2: [{ ...SOURCES.interfaces['eth0']![0]!, address: '10.77.0.1' }] };
    expect(refusal('10.77.0.1', {}, occupied({ interfaces })).message).toContain('collides with eth2 of this machine');
  });

  it('follows the pools that the image gives docker', () => {
    const docker = JSON.stringify({
      bip: '10.30.0.1/24',
      'default-address-pools': [{ base: '10.200.0.0/16', size: 24 }],
    });
    const used = occupied({ docker });
    for (const ip of ['10.200.3.1', '10.30.0.9'])
      expect(refusal('10.4.0.7', { ip }, used).message).toContain("docker's address pools");
    expect(parsed('192.168.49.7', { ip: '172.20.0.1' }, used)).toBe('192.168.49.7');
  });

  it('is none of the guest itself', () => {
    expect(refusal('10.4.0.7', { ip: '10.4.0.7/16' })).toMatchObject({ field: 'wg.servers[0].ip' });
  });

  it.each([
    ['10.0.0.2', '10.0.0.1/24'], // the defaults of the platform's gateway
    ['10.8.63.254', '10.8.0.1/16'], // its cluster guide
    ['10.240.0.10', '10.240.0.1/12'],
    ['10.4.0.7', '10.4.0.1'], // again, while the tunnel of the last registration is up
    ['172.16.0.2', '172.16.0.1'],
    ['10.20.0.3', '10.20.0.1'], // inside a route with a next hop: the route to one address is more exact
  ])('may be %s with the gateway at %s', (clientIp, ip) => {
    expect(parsed(clientIp, { ip })).toBe(clientIp);
  });
});

describe('the end of a tunnel', () => {
  it.each([
    ['127.0.0.1', /must not be loopback/],
    ['[::1]', /must not be loopback/],
    ['[::ffff:127.0.0.1]', /must not be (loopback|IPv4-mapped)/],
    ['0.0.0.0', /must not be unspecified/],
    ['[::]', /must not be unspecified/],
    ['169.254.169.254', /must not be link-local/],
    ['[fe80::1]', /must not be link-local/],
    ['239.1.1.1', /must not be multicast/],
    ['[ff02::1]', /must not be multicast/],
    ['255.255.255.255', /must not be reserved/],
    ['192.0.2.9', /is an address of this machine \(eth0 of this machine\)/],
    ['10.4.0.1', /is inside the tunnel/],
    ['10.4.0.7', /is inside the tunnel/],
  ])('is not %s', (host, reason) => {
    expect(refusal('10.4.0.7', { endpoint: `${host}:51820` })).toMatchObject({
      code: 'GATEWAY_FAILED',
      field: 'wg.servers[0].endpoint',
      message: expect.stringMatching(reason),
    });
  });

  it.each(['203.0.113.7', '[2001:db8::7]', 'gw.example', '10.0.2.2', '192.168.1.10', '172.17.0.5'])(
    'may be %s: public, private, or a name',
    (host) => {
      expect(parsed('10.4.0.7', { endpoint: `${host}:51820` })).toBe('10.4.0.7');
    },
  );
});
