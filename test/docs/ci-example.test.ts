/**
 * The example for CI: its steps are run in their order, as a runner would, with a small image in place of the build, a simulated
 * guest behind the app's path, and stand-ins for the services of GitHub that record what they are asked.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { BUILD } from '../../initramfs/lib/host.ts';
import { toHex } from '../../src/codec/hex.ts';
import { folderOf, writeImageFolder } from '../verify/system-fixture.ts';
import { type PageShell, pageShell } from './page-shell.ts';
import { type PaperGuest, startPaperGuest } from './paper-guest.ts';
import { PLAIN } from './plain-image.ts';

const WORKFLOW = 'docs/ci/build-and-verify.yml';
const CONTAINERFILE = 'docs/ci/Containerfile';

interface Step {
  readonly name: string;
  readonly run: string;
  readonly env?: Readonly<Record<string, string>>;
}
interface Job {
  readonly if: string;
  readonly steps: readonly Step[];
}
const text = readFileSync(WORKFLOW, 'utf8');
const workflow = parse(text, { strict: true, uniqueKeys: true }) as {
  readonly permissions: Readonly<Record<string, string>>;
  readonly defaults: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
};
const job = (name: string): Job => workflow.jobs[name] ?? { if: '', steps: [] };
const steps = Object.values(workflow.jobs).flatMap((it) => it.steps);
const script = (job_: string, name: string): string =>
  job(job_).steps.find((step) => step.name.startsWith(name))?.run ?? `echo 'no step ${name}' >&2; exit 1`;

describe('the workflow', () => {
  it('has two jobs, of commands only, for events that each of them names', () => {
    expect(Object.keys(workflow.jobs)).toEqual(['image', 'verify']);
    expect(text).not.toMatch(/^\s*-?\s*uses:/m);
    expect(job('image').if).toContain("== 'push'");
    expect(job('verify').if).toContain("== 'deployment_status'");
    expect(workflow.permissions).toEqual({ contents: 'read' });
    // a failure inside a pipe ends a step, as it does here
    expect(workflow.defaults).toEqual({ run: { shell: 'bash' } });
    for (const step of steps) expect(step.run, step.name).toBeTypeOf('string');
  });

  it('puts no text of an event or a variable into a script: it comes as environment', () => {
    for (const { name, run } of steps) expect(run, name).not.toContain('${{');
    const variables = steps.flatMap(({ run, env = {} }) => Object.keys(env).map((it) => [run, it] as const));
    // GH_TOKEN is read by gh itself
    for (const [run, name] of variables) if (name !== 'GH_TOKEN') expect(run).toContain(`$${name}`);
  });

  it.each(steps.map(({ name, run }) => [name, run]))('%s: is a shell program', (_, run) => {
    expect(spawnSync('bash', ['-n'], { input: run, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });

  it('names npm scripts that there are, with options that they know', { timeout: 120_000 }, () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
    const called = [...text.matchAll(/npm run (?:--silent )?(\w+)(?: -- ([^\n>]*))?/g)];
    expect(called.map(([, name]) => name)).toEqual(['build', 'image', 'image']);
    const bun = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
    const help = spawnSync(bun, ['initramfs/build.ts', '--help'], { encoding: 'utf8' }).stdout;
    for (const [, name = '', options = ''] of called) {
      expect(scripts[name]).toBeDefined();
      for (const option of options.match(/--\w[\w-]*/g) ?? []) expect(help).toContain(` ${option}`);
    }
    // what the step reads of the result is a field of it
    expect(readFileSync('initramfs/lib/image.ts', 'utf8')).toMatch(/export interface Image \{[^}]*\n {2}dir: string;/);
  });
});

describe.sequential('the steps of the workflow', () => {
  let root: string;
  let shell: PageShell;
  let guest: PaperGuest;
  let app: Server;
  const at = (name: string) => join(shell.dir, name);
  const step = async (name: string, which: string, env: Readonly<Record<string, string>> = {}) => {
    const given = {
      GITHUB_SERVER_URL: 'https://server',
      GITHUB_REPOSITORY: 'someone/app',
      GITHUB_REF_NAME: 'v1',
      ...env,
    };
    const declared = job(name).steps.find((it) => it.name.startsWith(which))?.env ?? {};
    expect(Object.keys(env).filter((it) => !(it in declared))).toEqual([]);
    const variables = Object.entries(given).map(([key, value]) => `export ${key}='${value}'`);
    return shell.run(`${variables.join('\n')}\n${script(name, which)}`);
  };

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'ci-'));
    // an app that answers with an error is not asked for half a minute
    shell = pageShell(root, { '--retry 5': '--retry 0' });
    const compose = demoAppComposeText();
    guest = await startPaperGuest(join(root, 'guest'), compose);
    // the path of the app that passes report data on
    app = createServer((asked, answer) => {
      const data = new URL(asked.url ?? '', 'http://app').searchParams.get('report_data') ?? '';
      const inner = request({ socketPath: guest.socket, path: `/GetQuote?report_data=${encodeURIComponent(data)}` });
      inner.on('response', (quote) => {
        answer.writeHead(asked.url?.startsWith('/quote?') === true ? (quote.statusCode ?? 500) : 404);
        quote.pipe(answer);
      });
      inner.end();
    }).listen(0, '127.0.0.1');
    await new Promise((done) => app.once('listening', done));
    // what the steps before have left
    const image = at('dstack-util/.cache/images/abc');
    const digest = toHex(folderOf(PLAIN).osImageHash ?? new Uint8Array());
    writeImageFolder(image, PLAIN, {
      'digest.txt': Buffer.from(`${digest}\n`),
      'manifest.json': Buffer.from('{}'),
      'sbom.spdx.json': Buffer.from('{}'),
    });
    writeFileSync(at('image.json'), JSON.stringify({ dir: '/src/.cache/images/abc' }));
    for (const folder of ['app', 'dstack-util/dist']) mkdirSync(at(folder), { recursive: true });
    writeFileSync(at('app/app-compose.json'), compose);
    copyFileSync(join(root, 'bin/dstack-util'), at('dstack-util/dist/dstack-util'));
    writeFileSync(
      join(root, 'bin/gh'),
      `#!/bin/bash\necho "$*" >>'${root}/gh'\n[ "$2" != view ] || exit 1\n[ "$2" != download ] || cp -r '${root}/release' published\n`,
    );
    chmodSync(join(root, 'bin/gh'), 0o755);
    const made = await shell.run(`dstack-sim root-ca --out ${root}/sim-root.pem
      dstack-sim collateral --out ${root}/collateral.json`);
    expect(made.status, made.text).toBe(0);
  }, 120_000);
  afterAll(async () => {
    app?.close();
    await guest?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  it('take the source, and build in the container', { timeout: 120_000 }, async () => {
    for (const name of ['git', 'docker']) {
      writeFileSync(join(root, 'bin', name), `#!/bin/bash\necho "${name} $*" >>'${root}/asked'\n`);
      chmodSync(join(root, 'bin', name), 0o755);
    }
    const saved = readFileSync(at('image.json'));
    for (const [which, env] of [
      ['Take the app', { SOURCE: 'https://somewhere/dstack-util', COMMIT: 'abc' }],
      ['Make the machine', {}],
      ['Build the image', {}],
    ] as const)
      expect(await step('image', which, { ...env }), which).toMatchObject({ status: 0 });
    writeFileSync(at('image.json'), saved);
    const asked = readFileSync(join(root, 'asked'), 'utf8');
    expect(asked).toContain('git -C dstack-util checkout --detach abc\n');
    expect(asked).toMatch(
      /docker build --tag (\S+) .*\ndocker run --rm --privileged --volume \S+:\/src \1 npm run build\n/,
    );
    for (const name of ['git', 'docker']) rmSync(join(root, 'bin', name));
  });

  it('publish the measurement document, its list, the hash, predictions and the expectation file', async () => {
    const done = await step('image', 'Collect', { MEMORY: '4G', CPUS: '2', QEMU: '9.2.1' });
    expect(done.status, done.text).toBe(0);
    const published = readdirSync(at('published'));
    const page = readFileSync('docs/ci/README.md', 'utf8');
    for (const name of published) expect(page).toContain(`\`${name}\``);
    expect(published).toEqual(expect.arrayContaining(['measurement.tdx.cbor', 'sha256sum.txt', 'expectation.json']));
    const sent = await step('image', 'Publish', { GH_TOKEN: 'x' });
    expect(sent.status, sent.text).toBe(0);
    expect(readFileSync(join(root, 'gh'), 'utf8')).toMatch(
      /^release view v1 .*\nrelease create v1 .*\nrelease upload v1 .*published\/expectation\.json .*\n$/,
    );
  }, 120_000);

  it('judge a fresh answer of the guest by what was published, and nothing else passes', async () => {
    const { port } = app.address() as AddressInfo;
    await shell.run(`mv published '${root}/release'; rm -rf dstack-util app image.json`);
    const taken = await step('verify', 'Take', { RELEASE: 'v1', GH_TOKEN: 'x' });
    expect(taken.status, taken.text).toBe(0);
    const asked = await step('verify', 'Ask', { QUOTE_URL: `http://127.0.0.1:${port}/quote` });
    expect(asked.status, asked.text).toBe(0);
    const judged = await step('verify', 'Judge');
    expect(judged.status, judged.text).toBe(0);
    expect(judged.text).toMatch(/^system +proven/m);

    // an answer of another day
    await shell.run('openssl rand -hex 32 > nonce');
    expect((await step('verify', 'Judge')).status).toBe(1);
    // an app that answers with an error
    const refused = await step('verify', 'Ask', { QUOTE_URL: `http://127.0.0.1:${port}/other` });
    expect(refused.status).not.toBe(0);
    // a published file that somebody exchanged
    writeFileSync(join(root, 'release/expectation.json'), '{}');
    await shell.run('rm -rf published');
    expect((await step('verify', 'Take', { RELEASE: 'v1', GH_TOKEN: 'x' })).status).toBe(1);
  }, 180_000);
});

describe('the container file', () => {
  const source = readFileSync(CONTAINERFILE, 'utf8');
  const install = /apt-get install --yes --no-install-recommends \\\n([\s\S]*?) && \\\n/.exec(source)?.[1] ?? '';
  const packages = install.split(/[\s\\]+/).filter(Boolean);

  it('installs what the build wants of its host, Node and git, and nothing else', () => {
    const wanted = [...BUILD.map((need) => need.package), 'ca-certificates', 'git', 'nodejs', 'npm'];
    expect(packages).toEqual(wanted.toSorted());
  });

  it('is Debian, from wherever the builder takes it, and runs a command that there is', () => {
    expect(source).toMatch(/^ARG BASE=debian:[a-z]+-slim\nFROM \$\{BASE\}$/m);
    const [, command = '[]'] = /^CMD (\[.*\])$/m.exec(source) ?? [];
    const words = JSON.parse(command) as string[];
    expect(words.slice(0, 3)).toEqual(['npm', 'run', 'image']);
    for (const [, run = ''] of source.matchAll(/^RUN ((?:.*\\\n)*.*)$/gm))
      expect(spawnSync('bash', ['-n'], { input: run, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });

  const lists = spawnSync('apt-cache', ['pkgnames', 'debian-archive-keyring'], { encoding: 'utf8' });
  it.skipIf(lists.status !== 0 || lists.stdout.trim() === '')(
    'names packages that Debian has',
    { timeout: 120_000 },
    () => {
      const known = spawnSync('apt-cache', ['pkgnames'], { encoding: 'utf8', maxBuffer: 64 << 20 }).stdout.split('\n');
      expect(packages.filter((name) => !known.includes(name))).toEqual([]);
    },
  );
});
