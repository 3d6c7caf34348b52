/** The house rules are enforced by the linter; these tests prove that its rule fires, and check what it cannot. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const FLOORS = [
  ['commands'],
  ['boot', 'agent'],
  ['deploy', 'fde', 'net'],
  ['verify'],
  ['os-image'],
  ['keys', 'tdx'],
  ['config'],
  ['x509'],
  ['codec'],
  ['sys', 'http', 'crypto'],
];

/** Rooms with a face: other rooms import the file named like the room and nothing else. The others are libraries. */
const FACES = ['boot', 'agent', 'deploy', 'fde', 'net', 'verify', 'os-image', 'x509', 'http'];
const face = (room: string): string => (FACES.includes(room) ? room : 'file');

const rooms = FLOORS.flatMap((floor, height) => floor.map((room) => ({ room, height })));

/** Lints probe files with the project's own configuration in a folder of their own; answers `file:line` of each refusal. */
function refusals(files: Record<string, string>): Set<string> {
  const root = mkdtempSync(join(tmpdir(), 'floors-'));
  const config = JSON.parse(readFileSync('biome.json', 'utf8'));
  delete config.$schema;
  delete config.vcs;
  writeFileSync(join(root, 'biome.json'), JSON.stringify(config));
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), source);
  }
  const biome = join(process.cwd(), 'node_modules/.bin/biome');
  const args = ['lint', '--colors=off', '--max-diagnostics=none', '--only=style/noRestrictedImports', '.'];
  const done = spawnSync(biome, args, { cwd: root, encoding: 'utf8' });
  rmSync(root, { recursive: true });
  return new Set(
    [...(done.stdout + done.stderr).matchAll(/^(\S+):(\d+):\d+ lint\/style\/noRestrictedImports/gm)].map(
      (m) => `${m[1]}:${m[2]}`,
    ),
  );
}

describe('import floors', () => {
  it('each room imports only what lies below it', () => {
    const probes = Object.fromEntries(
      rooms.map(({ room }) => [
        `src/${room}/probe.ts`,
        rooms.map((to, i) => `import { a as x${i} } from '../${to.room}/${face(to.room)}.ts';`).join('\n'),
      ]),
    );
    const refused = refusals(probes);
    const expected = rooms.flatMap((from) =>
      rooms.flatMap((to, i) =>
        to.room !== from.room && to.height <= from.height ? [`src/${from.room}/probe.ts:${i + 1}`] : [],
      ),
    );
    expect([...refused].toSorted()).toEqual(expected.toSorted());
  });

  it('a room with a face is imported through it, lazily or not', () => {
    const above = rooms.filter(({ height }) => height < FLOORS.length - 1);
    const source = (height: number) =>
      rooms
        .filter((to) => to.height > height && FACES.includes(to.room))
        .flatMap(({ room }) => [
          `export { a as ${room}0 } from '../${room}/${room}.ts';`,
          `export { a as ${room}1 } from '../${room}/file.ts';`,
          `export const ${room}2 = () => import('../${room}/file.ts');`,
          `export { a as ${room}3 } from '../../${room}/folder/file.ts';`,
        ]);
    const probes = Object.fromEntries(above.map(({ room, height }) => [`src/${room}/probe.ts`, source(height)]));
    const refused = refusals(
      Object.fromEntries(Object.entries(probes).map(([path, lines]) => [path, lines.join('\n')])),
    );
    const expected = Object.entries(probes).flatMap(([path, lines]) =>
      lines.flatMap((_, index) => (index % 4 === 0 ? [] : [`${path}:${index + 1}`])),
    );
    expect(expected.length).toBeGreaterThan(100);
    expect([...refused].toSorted()).toEqual(expected.toSorted());
  });

  it('every face is there', () => {
    for (const room of FACES) expect(readdirSync(`src/${room}`)).toContain(`${room}.ts`);
  });

  it('nothing in bin/ or src/ imports the simulator or the image builder, lazily or not', () => {
    const source = (up: string) =>
      ['simulator', 'initramfs']
        .flatMap((folder) => [
          `import { a } from '${up}${folder}/x.ts';`,
          `export const b = () => import('${up}${folder}/y.ts');`,
        ])
        .join('\n');
    const probes = {
      ...Object.fromEntries(rooms.map(({ room }) => [`src/${room}/probe.ts`, source('../../')])),
      'src/probe.ts': source('../'),
      'bin/probe.ts': source('../'),
    };
    const refused = refusals(probes);
    for (const path of Object.keys(probes))
      for (const line of [1, 2, 3, 4]) expect(refused).toContain(`${path}:${line}`);
  });

  it('the library stands on verify, and nothing in src/ imports it', () => {
    const lines = rooms.map(({ room }, i) => `import { a as x${i} } from '../../src/${room}/${face(room)}.ts';`);
    const probes = {
      'packages/verify/probe.ts': lines.join('\n'),
      ...Object.fromEntries(
        rooms.map(({ room }) => [`src/${room}/probe.ts`, "import { a } from '../../packages/verify/x.ts';"]),
      ),
      'src/probe.ts': "import { a } from '../packages/verify/x.ts';",
    };
    const verifyFloor = rooms.find(({ room }) => room === 'verify')?.height ?? 0;
    const above = rooms.flatMap(({ height }, i) => (height < verifyFloor ? [`packages/verify/probe.ts:${i + 1}`] : []));
    const importers = ['src/probe.ts:1', ...rooms.map(({ room }) => `src/${room}/probe.ts:1`)];
    expect([...refusals(probes)].toSorted()).toEqual([...above, ...importers].toSorted());
  });

  it('every room of src/ is in the list', () => {
    const present = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(present.map((entry) => entry.name).filter((name) => !FLOORS.flat().includes(name))).toEqual([]);
  });
});

describe('the project speaks of itself alone', () => {
  it('the lock file names no download address', () => {
    expect(readFileSync('package-lock.json', 'utf8')).not.toMatch(/"resolved": *"http/);
  });

  it('versions in package.json are exact', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect(`${name} ${version}`).toMatch(/ \d+\.\d+\.\d+$/);
    }
  });

  it('every dependency has its line of reason', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
    const text = readFileSync('docs/architecture.md', 'utf8').split('## Dependencies')[1] ?? '';
    const names = Object.keys({ ...dependencies, ...devDependencies });
    expect(names.filter((name) => !new RegExp(`(^|[| ,])${name}($|[| ,])`, 'm').test(text))).toEqual([]);
  });

  it('what the product imports is a dependency, and nothing else is', () => {
    const sources = ['bin', 'src', 'simulator'].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => join(folder, path)),
    );
    const imported = new Set(
      sources
        .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/(?:from|import\(|import) ?'([@a-z][^']*)'/g)])
        .map(([, name = '']) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'))
        .filter((name) => !/^(node|bun):/.test(name)),
    );
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect([...imported].toSorted()).toEqual(Object.keys(dependencies).toSorted());
  });
});
