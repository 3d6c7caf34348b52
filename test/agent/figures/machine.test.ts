import { describe, expect, it } from 'vitest';
import {
  parseCounters,
  parseGateways,
  parseGateways6,
  parseResolvers,
} from '../../../src/agent/figures/network-info.ts';
import { parseCpuinfo, parseCpuTimes, parseMeminfo, parseOsRelease } from '../../../src/agent/figures/system-info.ts';
import { parseAddress, showAddress } from '../../../src/agent/listen/address.ts';
import { watchdogPeriod } from '../../../src/agent/listen/watchdog.ts';

describe('what the kernel tells', () => {
  it('reads /proc/meminfo in bytes', () => {
    const text = 'MemTotal:        2048 kB\nActive(anon):       8 kB\nHugePages_Total:       3\nnonsense\n';
    expect([...parseMeminfo(text)]).toEqual([
      ['MemTotal', 2_097_152],
      ['Active(anon)', 8192],
      ['HugePages_Total', 3],
    ]);
  });
  it('reads resolvers', () => {
    expect(
      parseResolvers(
        '# nameserver 9.9.9.9\nnameserver 10.0.2.3\n nameserver\tfe80::1%eth0 x\nnameservers 1.1.1.1\nsearch a\n',
      ),
    ).toEqual(['10.0.2.3', 'fe80::1%eth0']);
  });
  it('reads default gateways', () => {
    const text =
      'Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0202000A\t0003\neth0\t0002000A\t00000000\t0001\ntun0\t00000000\t00000000\t0001\n';
    expect(parseGateways(text)).toEqual(['10.0.2.2']);
  });
  it('leaves out routes that only look like default routes', () => {
    // 0.0.0.0/1 of a VPN has destination 0 too
    expect(parseGateways('tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\n')).toEqual([]);
  });
  it('reads default gateways of IPv6', () => {
    const route = (destination: string, length: string, hop: string) =>
      `${destination} ${length} ${'0'.repeat(32)} 00 ${hop} 00000400 00000002 00000000 00000003     eth0`;
    const zero = '0'.repeat(32);
    const text = [
      route(zero, '00', 'fe80000000000000000000000000a001'),
      route(zero, '00', zero),
      route(`fd00${'0'.repeat(28)}`, '40', zero),
      'nonsense',
    ].join('\n');
    expect(parseGateways6(text)).toEqual(['fe80::a001']);
  });
  it('reads os-release', () => {
    expect([...parseOsRelease('NAME="Debian GNU/Linux"\n# NAME=x\nVERSION_ID=13\n=y\nODD=\'a=b\'\n')]).toEqual([
      ['NAME', 'Debian GNU/Linux'],
      ['VERSION_ID', '13'],
      ['ODD', 'a=b'],
    ]);
  });
  it('reads model and clock of the processor', () => {
    const one = (number: number) =>
      `processor\t: ${number}\nmodel name\t: Some CPU @ 2.50GHz\ncpu MHz\t\t: 249${number}.998\n`;
    expect(parseCpuinfo(`${one(4)}\n${one(5)}`)).toEqual({ model: 'Some CPU @ 2.50GHz', megahertz: 2494 });
    expect(parseCpuinfo('')).toEqual({ model: '', megahertz: 0 });
  });
  it('reads processor times in seconds', () => {
    expect([...parseCpuTimes('cpu  100 0 50 800 25\ncpu0 1 2 3 4\n')]).toEqual([
      ['user', 1],
      ['nice', 0],
      ['system', 0.5],
      ['idle', 8],
      ['iowait', 0.25],
    ]);
    expect(parseCpuTimes('intr 1\n').size).toBe(0);
  });
  it('reads interface counters', () => {
    const text =
      'Inter-|   Receive  |  Transmit\n face |bytes packets errs\n  eth0: 100 2 3 0 0 0 0 0 200 5 6 0 0 0 0 0\n lo:1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n';
    expect(parseCounters(text).get('eth0')).toEqual({ rx_bytes: 100, rx_errors: 3, tx_bytes: 200, tx_errors: 6 });
    expect(parseCounters(text).size).toBe(2);
  });
});

describe('watchdogPeriod', () => {
  const own = String(process.pid);
  it.each([
    [{}, undefined],
    [{ WATCHDOG_USEC: '30000000' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: own }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }, undefined],
    [{ WATCHDOG_USEC: '500000' }, 1000],
    [{ WATCHDOG_USEC: '0' }, undefined],
    [{ WATCHDOG_USEC: 'x' }, undefined],
  ])('%j', (env, expected) => expect(watchdogPeriod(env)).toBe(expected));
});

describe('parseAddress', () => {
  it.each([
    [{ address: 'unix:/run/a.sock', reuse: true }, 'unix:/run/a.sock'],
    [{ address: 'vsock:0xffffffff', port: 8000 }, 'vsock:any:8000'],
    [{ address: 'vsock:3', port: 1 }, 'vsock:3:1'],
    [{ address: '0.0.0.0', port: 8090 }, '0.0.0.0:8090'],
    [{ address: '::1', port: 80 }, '[::1]:80'],
  ])('reads %j', (settings, text) => expect(showAddress(parseAddress('x', settings))).toBe(text));
  it('takes a relative socket path from the working directory', () => {
    expect(parseAddress('x', { address: 'unix:./a.sock' })).toEqual({
      kind: 'unix',
      path: `${process.cwd()}/a.sock`,
      reuse: false,
    });
  });
  it.each([
    [{ address: 'unix:' }],
    [{ address: 'vsock:x', port: 1 }],
    [{ address: 'vsock:0x1ffffffff', port: 1 }],
    [{ address: 'localhost', port: 1 }],
    [{ address: '0.0.0.0', port: 65_536 }],
  ])('refuses %j', (settings) =>
    expect(() => parseAddress('x', settings)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' })),
  );
});
