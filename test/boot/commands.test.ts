import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../src/commands/main.ts';

let out: string;
let err: string;
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'commands-'));
  out = '';
  err = '';
  process.exitCode = 0;
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    out += chunk;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    err += chunk;
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = 0;
  delete process.env['DSTACK_HOST_SHARED_DIR'];
  await rm(dir, { recursive: true, force: true });
});

describe('plans', () => {
  it('prepare finds the TEE before it touches anything', async () => {
    await main(['prepare', '--plan']);
    expect(out.split('\n')[0]).toBe('prepare 1/8  find the TEE device');
  });

  it('setup, with and without the handover, as text and as JSON', async () => {
    await main(['setup', '--plan']);
    expect(out).not.toContain('handover');
    out = '';
    await main(['setup', '--plan', '--handover', '--json']);
    const { sequence, phases, handover } = JSON.parse(out);
    expect([sequence, phases[0], handover.at(-1)]).toEqual([
      'setup',
      'mount the host share',
      'hold the containers of the last boot',
    ]);
    expect(phases.indexOf('measure the instance')).toBeLessThan(phases.indexOf('get the app keys'));
    expect(phases.indexOf('check the key binding')).toBeLessThan(phases.indexOf('open the data disk'));
  });
});

describe('notify-host', () => {
  it('takes the address from the system configuration', async () => {
    const path = join(dir, 'host.sock');
    let body = '';
    const server = createServer((request, response) => {
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => response.end());
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    process.env['DSTACK_HOST_SHARED_DIR'] = dir;
    await writeFile(join(dir, '.sys-config.json'), JSON.stringify({ vm_config: '{}', host_api_url: `unix:${path}` }));
    await main(['notify-host', '-e', 'boot.progress', '-d', 'done']);
    server.close();
    expect(body).toBe('{"event":"boot.progress","payload":"done"}');
    expect(process.exitCode).toBe(0);
  });

  it('fails when the host is not told', async () => {
    await main(['notify-host', '-u', `unix:${dir}/none`, '-e', 'a', '-d', 'b']);
    expect(process.exitCode).toBe(1);
    expect(err).toContain('error [HOST_API_UNREACHABLE]');
  });

  it('fails without a system configuration, and is done without an address in it', async () => {
    process.env['DSTACK_HOST_SHARED_DIR'] = dir;
    await main(['notify-host', '-e', 'a', '-d', 'b']);
    expect(err).toContain('FILE_NOT_FOUND');
    process.exitCode = 0;
    await writeFile(join(dir, '.sys-config.json'), JSON.stringify({ vm_config: '{}' }));
    await main(['notify-host', '-e', 'a', '-d', 'b']);
    expect(process.exitCode).toBe(0);
  });
});

describe.each(['gateway-checker', 'gateway-refresh'])('%s', (command) => {
  const app = { manifest_version: 2, name: 'a', runner: 'bash' };
  const arrange = async (gateway_enabled: boolean, gateway_app_id = '') => {
    await mkdir(join(dir, '.host-shared'));
    const keys = { disk_crypt_key: 'ab'.repeat(32), k256_key: 'ab'.repeat(32), k256_signature: '', ca_cert: '' };
    const provider = { key_provider: { None: { key: '' } } };
    await writeFile(join(dir, '.host-shared/.appkeys.json'), JSON.stringify({ ...keys, ...provider, gateway_app_id }));
    await writeFile(join(dir, '.host-shared/.sys-config.json'), JSON.stringify({ vm_config: '{}' }));
    await writeFile(join(dir, '.host-shared/app-compose.json'), JSON.stringify({ ...app, gateway_enabled }));
  };

  it('is done when the app wants no gateway', async () => {
    await arrange(false);
    await main([command, '--work-dir', dir]);
    expect(process.exitCode).toBe(0);
  });

  it('ends with status 3 when nothing names the gateway: a retry cannot help', async () => {
    await arrange(true);
    await main([command, '--work-dir', dir]);
    expect(process.exitCode).toBe(3);
    expect(err).toContain('error [GATEWAY_MISCONFIGURED]: missing allowed dstack-gateway app id');
  });

  it('fails when the documents are missing', async () => {
    await main([command, '--work-dir', dir]);
    expect(process.exitCode).toBe(1);
  });
});

it('gateway-checker ends with status 3 without gateway urls', async () => {
  await mkdir(join(dir, '.host-shared'));
  const keys = { disk_crypt_key: 'ab'.repeat(32), k256_key: 'ab'.repeat(32), k256_signature: '', ca_cert: '' };
  const rest = { key_provider: { None: { key: '' } }, gateway_app_id: 'any' };
  const compose = { manifest_version: 2, name: 'a', runner: 'bash', gateway_enabled: true };
  await writeFile(join(dir, '.host-shared/.appkeys.json'), JSON.stringify({ ...keys, ...rest }));
  await writeFile(join(dir, '.host-shared/app-compose.json'), JSON.stringify(compose));
  await writeFile(join(dir, '.host-shared/.sys-config.json'), JSON.stringify({ vm_config: '{}' }));
  await main(['gateway-checker', '--work-dir', dir]);
  expect(process.exitCode).toBe(3);
  expect(err).toContain('missing gateway urls');
});

describe('wrong usage ends with status 2', () => {
  it.each([
    [['host-shared', 'mount']],
    [['host-shared', 'remount', '--mount-point', '/x']],
    [['notify-host', '-e', 'a']],
    [['setup', '--plan', '--no-such-option']],
    [['prepare', '--plan', 'now']],
  ])('%j', async (args) => {
    await main(args);
    expect(process.exitCode).toBe(2);
    expect(err).toContain('error [USAGE]');
  });
});
