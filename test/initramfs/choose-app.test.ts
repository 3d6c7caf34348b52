/** What `npm start` boots, decided before the image is built. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseApp } from '../../initramfs/choose-app.ts';
import { initApp } from '../../src/deploy/app/init-app.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'choose-app-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const DEFAULTS = { storage: 'ext4', provider: 'none', gateway: false } as const;
const choose = async (choice: { compose?: string; appCompose?: string }) => {
  const said: string[] = [];
  const app = await chooseApp({ ...DEFAULTS, ...choice }, (line) => said.push(line));
  return { ...app, said };
};

describe('--compose', () => {
  const COMPOSE = `name: shop
services:
  web: {image: nginx, ports: ["80:80", "127.0.0.1:81:81", "53:53/udp", "8000-8001:8000-8001"]}
  debug: {image: nginx, ports: ["99:99"], profiles: [debug]}
`;

  it('boots the document that app init makes, with its published ports', async () => {
    const path = file('docker-compose.yaml', COMPOSE);
    const { document, name, demo, ports, said } = await choose({ compose: path });
    const { text, app } = await initApp(path, {
      runner: 'docker-compose',
      keyProvider: 'none',
      gateway: false,
      publicLogs: true,
      publicSysinfo: true,
      noInstanceId: false,
      secureTime: false,
      storageFs: 'ext4',
    });
    expect(document).toBe(text);
    expect(name).toBe(`app-${Buffer.from(app.composeHash).toString('hex').slice(0, 12)}`);
    expect({ demo, ports }).toEqual({ demo: false, ports: [80, 8000, 8001] });
    expect(said.join('\n')).toMatch(/^unpinned {2}services\.web\.image: nginx can point to another image tomorrow/m);
  });

  it('is refused with its reasons when a guest would refuse it', async () => {
    const path = file('local.yaml', 'services: {web: {build: .}}');
    const said: string[] = [];
    await expect(chooseApp({ ...DEFAULTS, compose: path }, (line) => said.push(line))).rejects.toMatchObject({
      code: 'COMPOSE_INVALID',
      path,
    });
    expect(said[0]).toMatch(/^REFUSED {3}services\.web\.build: /);
  });
});

describe('a file that cannot be booted is named, and what is wrong with it', () => {
  it.each([
    ['compose', undefined, 'FILE_NOT_FOUND'],
    ['appCompose', undefined, 'FILE_NOT_FOUND'],
    ['compose', 'a: {b: c', 'COMPOSE_INVALID'],
    ['appCompose', '{"manifest_version": 2,', 'JSON_INVALID'],
    ['appCompose', '{"manifest_version": 2, "name": "x"}', 'DOCUMENT_INVALID'],
    ['appCompose', '{"manifest_version": "4", "name": "x", "runner": "bash"}', 'MANIFEST_UNSUPPORTED'],
  ] as const)('%s %j', async (option, content, code) => {
    const path = content === undefined ? join(dir, 'nope') : file(`${option}.bad`, content);
    await expect(choose({ [option]: path })).rejects.toMatchObject({
      code,
      path: expect.stringContaining(content === undefined ? 'nope' : ''),
    });
  });
});

it('--app-compose boots the bytes as they are, and the demo is what there is without either', async () => {
  const text = '{"manifest_version":2,"name":"x",  "runner":"bash","bash_script":"true"}\n';
  expect(await choose({ appCompose: file('app.json', text) })).toMatchObject({
    document: text,
    demo: false,
    ports: [],
  });
  expect(await choose({})).toMatchObject({ demo: true, name: 'demo', ports: [8080] });
});
