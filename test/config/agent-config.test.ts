import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentConfig, loadAgentConfig } from '../../src/config/agent-config.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-agent-'));
  mkdirSync(join(dir, 'root/etc/dstack'), { recursive: true });
  mkdirSync(join(dir, 'cwd'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const write = (name: string, text: string) => writeFileSync(join(dir, name), text);
const load = (file?: string): Promise<AgentConfig> =>
  loadAgentConfig({ root: join(dir, 'root'), cwd: join(dir, 'cwd'), file: file && join(dir, file) });

describe('the agent configuration', () => {
  it('has the documented defaults', async () => {
    expect(await load()).toEqual({
      workers: 8,
      maxBlocking: 64,
      tempDir: '/tmp',
      logLevel: 'debug',
      core: {
        keysFile: '/dstack/.host-shared/.appkeys.json',
        composeFile: '/dstack/.host-shared/app-compose.json',
        sysConfigFile: '/dstack/.host-shared/.sys-config.json',
        dataDisks: ['/'],
        scopedSockets: '/run/dstack/scoped',
      },
      internalV0: listener({ address: 'unix:/var/run/dstack/tappd.sock', reuse: true }),
      internal: listener({ address: 'unix:/var/run/dstack/dstack.sock', reuse: true }),
      external: listener({ address: '0.0.0.0', port: 8090 }),
      guestApi: listener({ address: 'vsock:0xffffffff', port: 8000 }),
    });
  });

  it('merges all layers key by key, later ones win, arrays are replaced', async () => {
    write('root/etc/dstack/dstack.toml', '[default]\nident = "etc toml"\nworkers = 1\n[external]\nport = 1\n');
    write('root/etc/dstack/dstack.json', '{"default":{"ident":"etc json","core":{"data_disks":["/a","/b"]}}}');
    write('cwd/dstack.toml', '[external]\nport = 2\naddress = "127.0.0.1"\n');
    write('cwd/dstack.json', '{"external":{"port":3}}');
    write('c.conf', '{"default":{"core":{"data_disks":["/c"]}},"unknown-profile":{"x":1}}');
    const config = await load('c.conf');
    expect(config.internal.ident).toBe('etc json');
    expect(config.workers).toBe(1);
    expect(config.external).toMatchObject({ port: 3, address: '127.0.0.1' });
    expect(config.core.dataDisks).toEqual(['/c']);
    expect(config.core.keysFile).toBe('/dstack/.host-shared/.appkeys.json');
  });

  it('lets a profile inherit from default and override it', async () => {
    write('c.toml', '[default]\nkeep_alive = 3\nident = "all"\n[internal]\nident = "one"\nkeep_alive = 0\n');
    const config = await load('c.toml');
    expect(config.internal).toMatchObject({ ident: 'one', keepAlive: 0 });
    expect(config.internalV0).toMatchObject({ ident: 'all', keepAlive: 3 });
  });

  it('reads the file setup writes', async () => {
    write('agent.json', JSON.stringify({ default: { core: { data_disks: ['/', '/data'] } } }, null, 2));
    expect((await load('agent.json')).core.dataDisks).toEqual(['/', '/data']);
  });

  it('takes a missing -c file as empty', async () => {
    expect(await load('missing.toml')).toEqual(await load());
  });

  it.each([
    ['c.toml', 'not toml', undefined],
    ['c.json', '{"default":', undefined],
    ['c.json', '[]', undefined],
    ['c.json', '{"default":{"workers":1},"default":{}}', undefined],
    ['c.json', '{"default":1}', 'default'],
    ['c.json', '{"external":{"port":"80"}}', 'external.port'],
    ['c.json', '{"external":{"port":-1}}', 'external.port'],
    ['c.toml', '[external]\nport = 8.5\n', 'external.port'],
    ['c.json', '{"internal":{"address":1}}', 'internal.address'],
    ['c.json', '{"default":{"core":{"data_disks":"/"}}}', 'default.core.data_disks'],
    ['c.json', '{"default":{"core":5}}', 'default.core'],
    ['c.json', '{"default":{"core":{"simulator":{"enabled":"yes"}}}}', 'default.core.simulator.enabled'],
    ['c.toml', '[default.core]\nkeys_file = 2020-01-01\n', 'default.core.keys_file'],
  ])('refuses %s with %j', async (file, text, field) => {
    write(file, text);
    await expect(load(file)).rejects.toMatchObject({ code: 'CONFIG_INVALID', path: join(dir, file), field });
  });

  it('does not follow a symbolic link and keeps prototypes alone', async () => {
    write('real.json', '{}');
    symlinkSync(join(dir, 'real.json'), join(dir, 'link.json'));
    await expect(load('link.json')).rejects.toMatchObject({ code: 'FILE_NOT_REGULAR' });
    write('p.json', '{"__proto__":{"polluted":1},"default":{"__proto__":{"polluted":1}}}');
    await load('p.json');
    expect('polluted' in {}).toBe(false);
  });
});

describe('the simulator section', () => {
  const simulator = async (section: object) => {
    write('s.json', JSON.stringify({ default: { core: { simulator: section } } }));
    return (await load('s.json')).core.simulator;
  };

  it('counts when it is enabled, or names evidence and is not disabled', async () => {
    expect(await simulator({ attestation_file: 'a' })).toEqual({ attestationFile: 'a', patchReportData: true });
    expect(await simulator({ enabled: false, attestation_file: 'a' })).toBeUndefined();
    expect(await simulator({ patch_report_data: true })).toBeUndefined();
    expect(await simulator({ enabled: false })).toBeUndefined();
    expect(await simulator({ enabled: true })).toEqual({ attestationFile: 'attestation.bin', patchReportData: true });
  });

  it('takes an attestation, or a quote with its event log', async () => {
    expect(await simulator({ enabled: true, attestation_file: 'a', patch_report_data: false })).toEqual({
      attestationFile: 'a',
      patchReportData: false,
    });
    expect(await simulator({ enabled: true, quote_file: 'q', event_log_file: 'e' })).toEqual({
      quoteFile: 'q',
      eventLogFile: 'e',
      patchReportData: true,
    });
    for (const half of [
      { quote_file: 'q' },
      { event_log_file: 'e' },
      { attestation_file: 'a', quote_file: 'q', event_log_file: 'e' },
    ]) {
      await expect(simulator({ enabled: true, ...half })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
  });
});

function listener(own: object): object {
  return { reuse: false, ident: 'dstack guest agent', keepAlive: 10, ...own };
}
