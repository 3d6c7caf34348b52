/** The page as a file and as it is served, without a browser. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assemble } from '../../packages/verify-page/build.ts';
import { roleOf } from '../../packages/verify-page/script/roles.ts';
import { CASES, EXPECTED_APP, TRUST } from './fixtures.ts';
import { makeFolder, makePage } from './scene.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const bytesOf = (content: string | Uint8Array): Uint8Array => new Uint8Array(Buffer.from(content));

let dir: string;
beforeAll(() => {
  dir = makeFolder();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('the file', { timeout: 120_000 }, () => {
  let html: string;
  beforeAll(async () => {
    html = readFileSync(await makePage(dir), 'utf8');
  }, 120_000);

  it('allows its own style and script by their hashes, and no connection', () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? '';
    const inside = (tag: string) => new RegExp(`<${tag}>([\\s\\S]*)</${tag}>`).exec(html)?.[1] ?? '';
    const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      `script-src ${hash(inside('script'))}`,
      `style-src ${hash(inside('style'))}`,
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    // the policy counts for what comes behind it only
    expect(html.indexOf('Content-Security-Policy')).toBeLessThan(html.indexOf('<style>'));
  });

  it('names nothing outside, and no data becomes markup', () => {
    const [, markup = ''] = /^([\s\S]*)<script>/.exec(html) ?? [];
    expect(markup).not.toMatch(/\b(?:src|href)="(?!data:)/);
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html).not.toMatch(
      /\.innerHTML|outerHTML|insertAdjacentHTML|document\.write|XMLHttpRequest|WebSocket|EventSource/,
    );
  });

  it('is the same for the same sources', async () => {
    const other = makeFolder();
    expect(readFileSync(await makePage(other), 'utf8')).toBe(html);
    rmSync(other, { recursive: true });
  });
});

it('is in the archive, outside the tree of the image', async () => {
  const out = join(dir, 'dist');
  mkdirSync(out);
  writeFileSync(join(dir, 'binary'), '#!/bin/sh\n');
  const release = {
    binary: join(dir, 'binary'),
    out,
    version: '1.2.3',
    revision: 'git:abc',
    modified: false,
    epoch: 0,
  };
  const script = `import { packRelease } from ${JSON.stringify(resolve('packaging/release.ts'))};
    await packRelease({ ...${JSON.stringify(release)}, lock: await Bun.file('package-lock.json').json() });`;
  await promisify(execFile)(BUN, ['-e', script]);
  const archive = join(out, 'dstack-util-1.2.3.tar.gz');
  const inside = async (name: string) =>
    (await promisify(execFile)('tar', ['-xzOf', archive, `dstack-util-1.2.3/${name}`], { maxBuffer: 2 ** 24 })).stdout;
  expect(await inside('verify.html')).toContain('dstack-util v1.2.3 (git:abc)');
  expect(await inside('SHA256SUMS')).toMatch(/^[0-9a-f]{64} {2}verify\.html$/m);
}, 120_000);

it('has the notices of the code that is in it, and ends with them', async () => {
  const html = readFileSync(await makePage(dir), 'utf8');
  const [, notices = ''] = /<\/html>\s*<!--([\s\S]*)-->\s*$/.exec(html) ?? [];
  expect(notices).toMatch(/@noble\/curves \d[\s\S]*@phala\/dcap-qvl \d/);
  expect(notices).toContain('Permission is hereby granted');
  expect(notices).not.toContain('-->');
});

it('an end tag inside the script does not end it', () => {
  const { html } = assemble({
    page: '{{policy}}{{icon}}{{version}}{{style}}<script>/*{{script}}*/</script>',
    style: '',
    version: '',
    script: 'x="</script><b>"',
  });
  expect(html).toMatch(/<script>x="<\\\/script><b>"<\/script>$/);
});

describe('files are told apart by content', () => {
  it.each([
    ...CASES.flatMap(({ evidence }) =>
      Object.entries(evidence).map(([name, content]) => [name, content, 'evidence'] as const),
    ),
    ['the root', TRUST['root.pem'] ?? '', 'root'],
    ['collateral', TRUST['collateral.json'] ?? '', 'collateral'],
    ['expectations', JSON.stringify(EXPECTED_APP), 'expectations'],
    ['checksums', `${'0'.repeat(64)}  bzImage\n`, 'checksums'],
    ['a measurement document', Uint8Array.of(0xa3, 0x67), 'measurement'],
    ['an event log', '[]', 'eventLog'],
    ['a quote as a list of numbers', '[4, 0, 2, 0]', 'evidence'],
    ['a quote in PEM', '-----BEGIN QUOTE-----\nBAAC\n-----END QUOTE-----\n', 'evidence'],
    ['anything else', 'hello', 'evidence'],
    ['broken JSON', '{"quote', 'evidence'],
  ] as const)('%s', (_, content, role) => {
    expect(roleOf(bytesOf(content))).toBe(role);
  });
});

describe('npm run verify-page', { timeout: 120_000 }, () => {
  it('serves the page on the loopback address, and nothing else', async () => {
    const child: ChildProcess = spawn(BUN, ['scripts/verify-page.ts', '--port', '0'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    try {
      let url = '';
      for await (const line of createInterface({ input: child.stderr ?? process.stdin })) {
        url = /^page: (http:\/\/127\.0\.0\.1:\d+\/)$/.exec(line)?.[1] ?? '';
        if (url !== '') break;
      }
      const page = await fetch(url);
      expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none';.*frame-ancestors 'none'$/);
      expect(await page.text()).toBe(readFileSync(await makePage(dir), 'utf8'));
      expect((await fetch(`${url}../etc/passwd`)).status).toBe(404);
      expect((await fetch(url, { method: 'POST' })).status).toBe(405);
    } finally {
      child.kill();
    }
  });

  it('says that a port is taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const done = promisify(execFile)(BUN, ['scripts/verify-page.ts', '--port', `${port}`]);
    await expect(done).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`port ${port} of 127.0.0.1 is taken`),
    });
    await new Promise((resolve) => server.close(resolve));
  });
});
