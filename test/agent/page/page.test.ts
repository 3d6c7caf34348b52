import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { readinessReport } from '../../../src/agent/figures/readyz.ts';
import { systemFigures } from '../../../src/agent/figures/system-info.ts';
import { readable } from '../../../src/agent/page/events-section.ts';
import { page } from '../../../src/agent/page/page.ts';
import { age, bytes, count, percent } from '../../../src/agent/page/parts.ts';
import { HOSTILE, makeScene, type Scene, type SceneOptions, timelineLines } from './scene.ts';

let scene: Scene;
afterEach(() => scene.close());

async function render(options: SceneOptions = {}, change: Partial<Parameters<typeof page>[0]> = {}) {
  scene = await makeScene(options);
  const { state, ready, timelinePath } = scene;
  return page({ ...state, ...change }, ready, { timelinePath, host: 'guest.example:8090' });
}

describe('the page', () => {
  it('says why gateways send no traffic, if the app asks for health checks', async () => {
    scene = await makeScene();
    const shown = async (verdict: object) =>
      (
        await page({ ...scene.state, health: { watched: true, verdict: () => verdict } as never }, scene.ready, {
          timelinePath: scene.timelinePath,
        })
      ).text;
    const unhealthy = [{ name: '<health_status_file>', status: 'it does not exist' }];
    const ill = await shown({ healthy: false, unhealthy, error: '' });
    expect(ill).toContain('>not healthy</a>');
    expect(ill).toContain('The app is not healthy: &lt;health_status_file&gt;: it does not exist. Gateways send');
    expect(ill).toContain('docs/runbooks.md#dstackappunhealthy');
    expect(await shown({ healthy: true, unhealthy: [], error: '' })).not.toContain('not healthy');
  });
  it('shows containers with health, restarts, usage and their log', async () => {
    const { text } = await render();
    expect(text).toContain('<strong>dstack-web-1</strong>');
    expect(text).toContain('nginx:1.29@sha256:0123456789ab…<');
    expect(text).toMatch(
      /Up 3 hours \(healthy\)<\/span><span class="">0 restarts<\/span><span>CPU 3\.0 %<\/span><span>memory 48\.0 MiB/,
    );
    expect(text).toContain('<span class="warn">7 restarts</span>');
    expect(text).toContain('<span class="bad">out of memory</span><span class="warn">1 restart</span>');
    expect(text).toContain('href="/logs/dstack-web-1?text=true&amp;bare=true&amp;tail=200"');
    // a name that the route does not take is replaced by the id
    expect(text).toContain(`href="/logs/${'d'.repeat(64)}?`);
    expect(text).toContain('2 containers in trouble');
  });
  it('draws the boot on one axis, with the digests of what was measured', async () => {
    const { text } = await render();
    expect(text).toContain('12 phases in 30.5 s, started 2026-01-01T00:00:00Z');
    expect(text).toContain('<rect class="done" x="0.0" width="10.2" height="10"/>');
    expect(text).toMatch(/<tr class="skipped">\s*<th scope="row">turn swap on<\/th>\s*<td class="chart"><\/td>/);
    const [, number = '', start = ''] =
      /<a href="#event-(\d+)">key-provider<\/a> <code>([0-9a-f]{12})…/.exec(text) ?? [];
    expect(text).toMatch(
      new RegExp(`<li id="event-${number}">\\s*<strong>key-provider</strong>[^§]*?SHA-384 <code>${start}[0-9a-f]{84}<`),
    );
  });
  it('counts the used space of a disk as df does, and does not squeeze figures beside long names', async () => {
    const { text } = await render();
    const [{ used, size } = { used: 0, size: 0 }] = (await systemFigures(['/'])).disks;
    const df = Number(execFileSync('df', ['-B1', '--output=used', '/'], { encoding: 'utf8' }).split('\n')[1]);
    expect(Math.abs(used - df)).toBeLessThan(size / 50); // others write meanwhile
    expect(text).toMatch(
      /<dt>Disk<\/dt><dd><code class="soft">\/<\/code>.*?[\d.]+ \w+ used, [\d.]+ \w+ free of [\d.]+ \w+</s,
    );
    for (const [, label = ''] of text.matchAll(/<dt>(.*?)<\/dt>/g)) expect(label.length, label).toBeLessThan(16);
    expect(text).not.toContain('<dt>System</dt>');
  });
  it('says one phase where there is one', async () => {
    const { text } = await render({ timeline: timelineLines().slice(0, 1) });
    expect(text).toContain('1 phase in');
  });
  it('shows a failed start, and its words only where logs are public', async () => {
    const failed = JSON.stringify({
      ...JSON.parse(timelineLines().at(-2) ?? ''),
      outcome: 'failed',
      error: 'secret <words> of the app',
    });
    const timeline = [...timelineLines().slice(0, -2), failed];
    const open = await render({ timeline });
    expect(open.text).toContain('start failed');
    expect(open.text).toContain('secret &lt;words&gt; of the app');
    await scene.close();
    const closed = await render({ timeline, compose: { public_logs: false } });
    expect(closed.text).toContain('Failed: start the app (the journal has the reason)');
    expect(closed.text).not.toContain('secret');
  });
  it('reloads itself while the app starts, and not afterwards', async () => {
    expect((await render({ timeline: timelineLines().slice(0, -1) })).refresh).toBe(5);
    await scene.close();
    expect((await render()).refresh).toBeUndefined();
  });
  it('prints payloads as text where they are text', async () => {
    const { text } = await render();
    expect(text).toContain(
      '<code class="payload">{&quot;name&quot;:&quot;none&quot;,&quot;id&quot;:&quot;&quot;}</code>',
    );
    expect(text).toContain('<span class="soft">hex, 20 bytes</span>');
    expect(text).toContain('They replay to RTMR3.');
  });
  it('says how to verify, for the address it was asked under', async () => {
    const { text } = await render();
    expect(text).toContain(
      'curl -sSf &#39;http://guest.example:8090/prpc/Worker.GetAttestationForAppKey?algorithm=ed25519&#39; -o evidence.json',
    );
    expect(text).toContain('dstack-util verify init app-compose.json --no-fresh --out expect.json');
    expect(text).toMatch(/dstack-util verify evidence\.json --expect-file expect\.json \\\n/);
    expect(text).toContain('This evidence proves no freshness');
    expect(text).toContain('--expect report-data=$nonce');
    // what a guest says of itself is nothing to expect of it
    expect(text).not.toMatch(/--expect (?:app-id|compose-hash)/);
    expect(text).toMatch(/<textarea id="quote" [^>]*>[0-9a-f]{1304}<\/textarea>/);
    expect(text).toMatch(/<textarea id="event-log" [^>]*>\[\{&quot;imr&quot;/);
    const { state, ready, timelinePath } = scene;
    const at = async (host: string | undefined) => (await page(state, ready, { timelinePath, host })).text;
    expect(await at('app-8090.gateway.example')).toContain('https://app-8090.gateway.example/prpc');
    expect(await at(`a'; rm -rf ~; '`)).toContain('http://GUEST:8090/prpc');
    expect(await at(undefined)).toContain('http://GUEST:8090/prpc');
  });
  it('hides what the app keeps private', async () => {
    const { text } = await render({
      compose: { public_logs: false, public_sysinfo: false, public_tcbinfo: false },
    });
    for (const word of [
      'RTMR0',
      'SHA-384',
      'href="/logs',
      '/metrics',
      '>System<',
      '>Network<',
      'CPU ',
      'memory ',
      '<textarea',
    ])
      expect(text, word).not.toContain(word);
    expect(text).toContain('keeps its registers and its event log private');
    expect(text).toContain('dstack-util verify evidence.json');
  });
  it('knows no containers of an app that is a script', async () => {
    const { text } = await render({ compose: { runner: 'bash', bash_script: 'true' }, docker: { hang: /./ } });
    expect(text).not.toContain('Containers');
    expect(text).toContain('<a class="state good" href="/readyz">running</a>');
    const report = await readinessReport(scene.state, scene.ready, scene.timelinePath);
    expect(report['containers']).toBeNull();
  });
  it('lets nothing foreign become markup', async () => {
    const { text } = await render();
    expect(text).not.toContain('<script');
    expect(text).not.toContain('<img');
    expect(text).not.toMatch(/[\u0000-\u0008\u001b\u202e]/);
    expect(text.split('&lt;script&gt;alert(1)').length).toBeGreaterThan(3);
    expect(HOSTILE).toContain('<script>');
  });
  it('allows its own style by hash, and no script', async () => {
    const { text, policy } = await render();
    const style = /<style>([\s\S]*)<\/style>/.exec(text)?.[1] ?? '';
    expect(policy).toContain(`style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(text).not.toMatch(/\sstyle="/);
  });
  it('still shows itself when no evidence can be taken, and when docker is away or hangs', async () => {
    const gone = () => Promise.reject(new Error('device <gone>'));
    scene = await makeScene({ docker: { hang: /^\/containers/ } });
    const backend = { ...scene.state.backend, identity: gone, quote: gone };
    const { state, ready, timelinePath } = scene;
    const { text } = await page({ ...state, backend }, ready, { timelinePath });
    expect(text).toContain('No evidence can be taken: device &lt;gone&gt;');
    expect(text).toContain('Docker does not answer.');
    expect(text).toContain('href="/readyz">docker does not answer</a>');
    expect(text).toContain('--collateral https://api.trustedservices.intel.com</pre>');
  });
  it('bounds what an app can put on it', async () => {
    scene = await makeScene();
    const { backend } = scene.state;
    const identity = async () => {
      const attestation = await backend.identity();
      const { platform } = attestation;
      if (platform.kind !== 'tdx') throw new Error('another platform');
      const { eventLog } = platform;
      const last = eventLog.at(-1);
      if (last === undefined) throw new Error('no event');
      const more = Array.from({ length: 300 }, () => ({
        ...last,
        event: 'mine',
        payload: new Uint8Array(10_000).fill(97),
      }));
      return { ...attestation, platform: { ...platform, eventLog: [...eventLog, ...more] } };
    };
    const { state, ready, timelinePath } = scene;
    const { text } = await page({ ...state, backend: { ...backend, identity } }, ready, { timelinePath });
    expect(text.length).toBeLessThan(400_000);
    expect(text).toContain('107 more events in the event log.');
    expect(text).toContain('text, the beginning of 10000 bytes');
    expect(text).toContain('They do not replay to RTMR3.');
  });
});

describe('words for people', () => {
  it('counts, sizes, shares, ages', () => {
    expect([count(0, 'phase'), count(1, 'phase'), count(2, 'phase')]).toEqual(['0 phases', '1 phase', '2 phases']);
    expect([0, 1023, 1024, 150 * 1024, 3.25 * 1024 ** 3].map(bytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '150 KiB',
      '3.3 GiB',
    ]);
    expect([0, 0.004, 0.1, 1.5].map(percent)).toEqual(['0.0 %', '0.4 %', '10 %', '150 %']);
    expect([5, 65, 3600, 200_000].map(age)).toEqual(['5 s', '1 min', '1 h 00 min', '2 d 7 h']);
    scene = { close: async () => {} } as Scene;
  });
  it.each([
    ['', { text: '', kind: 'no payload' }],
    [Buffer.from('ext4').toString('hex'), { text: 'ext4', kind: 'text, 4 bytes' }],
    [Buffer.from('größe').toString('hex'), { text: 'größe', kind: 'text, 7 bytes' }],
    ['61', { text: 'a', kind: 'text, 1 byte' }],
    ['0a', { text: '0a', kind: 'hex, 1 byte' }],
    ['61e280ae62', { text: '61e280ae62', kind: 'hex, 5 bytes' }],
    ['ff00', { text: 'ff00', kind: 'hex, 2 bytes' }],
  ])('reads payload %s', (payload, expected) => {
    expect(readable(payload)).toEqual(expected);
  });
});
