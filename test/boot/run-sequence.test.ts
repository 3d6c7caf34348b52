import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostNotifier } from '../../src/boot/notifier.ts';
import type { SequenceContext, Step } from '../../src/boot/phase.ts';
import { describeFailure, planText, runSequence } from '../../src/boot/run-sequence.ts';
import { readTimelines } from '../../src/boot/timeline-store.ts';
import { fileTimeline } from '../../src/boot/timeline-writer.ts';
import type { PhaseRecord } from '../../src/config/timeline-file.ts';
import { DstackError } from '../../src/errors.ts';

interface Context extends SequenceContext {
  readonly done: string[];
}

/** A host that takes events one after the other. */
class FakeHost {
  readonly events: [string, string][] = [];
  deliver = async (_url: string, event: string, payload: string) => {
    this.events.push([event, payload]);
  };
  of(event: string): string[] {
    return this.events.filter(([name]) => name === event).map(([, payload]) => payload);
  }
}

const steps: Step<Context>[] = [
  { name: 'one', notify: () => 'beginning', run: async ({ done }) => void done.push('one') },
  [
    {
      name: 'slow',
      run: ({ done }) => new Promise((resolve) => setTimeout(() => resolve(void done.push('slow')), 20)),
    },
    { name: 'quick', run: async ({ done }) => void done.push('quick') },
  ],
  { name: 'never', when: () => false, run: async ({ done }) => void done.push('never') },
  {
    name: 'measured',
    run: async ({ done, measured }) => {
      measured.push({ name: 'app-id', digest: 'ab' });
      done.push('measured');
    },
  },
];

let host: FakeHost;
let context: Context;
let records: PhaseRecord[];
const timeline = async (record: PhaseRecord) => void records.push(record);

beforeEach(() => {
  host = new FakeHost();
  context = { host: new HostNotifier(host.deliver), measured: [], notes: [], done: [] };
  context.host.open('unix:/host');
  records = [];
});

describe('runSequence', () => {
  it('runs in order, the phases of a group at the same time', async () => {
    const reports = await runSequence('test', steps, context, { timeline });
    expect(context.done).toEqual(['one', 'quick', 'slow', 'measured']);
    expect(reports.map(({ n, of, name }) => `${n}/${of} ${name}`)).toEqual([
      '1/5 one',
      '3/5 quick',
      '2/5 slow',
      '5/5 measured',
    ]);
  });

  it('records every phase with its events and outcome', async () => {
    await runSequence('test', steps, context, { timeline });
    expect(records.map(({ phase, outcome, events }) => [phase, outcome, events.length])).toEqual([
      ['one', 'done', 0],
      ['quick', 'done', 0],
      ['slow', 'done', 0],
      ['never', 'skipped', 0],
      ['measured', 'done', 1],
    ]);
    expect(records[4]?.events).toEqual([{ name: 'app-id', digest: 'ab' }]);
    for (const { cpuMs = -1 } of records) expect(cpuMs).toBeGreaterThanOrEqual(0);
    expect(new Date(records[0]?.start ?? '').toISOString()).toBe(records[0]?.start);
  });

  it('tells the host the progress before and the phase after it', async () => {
    await runSequence('test', steps, context, { timeline });
    await context.host.flush(1000);
    expect(host.events[0]).toEqual(['boot.progress', 'beginning']);
    const phases = host.of('boot.phase').map((payload) => JSON.parse(payload));
    expect(phases[0]).toEqual({ sequence: 'test', n: 1, of: 5, name: 'one', ms: expect.any(Number) });
    expect(phases.map(({ name }) => name)).toEqual(['one', 'quick', 'slow', 'measured']);
  });

  it('turns a failure into one boot.error with the whole chain and rethrows it', async () => {
    const broken = new DstackError('LUKS_KEY_WRONG', 'the disk does not open', {
      cause: new Error('no key available'),
      path: '/dev/vdb1',
    });
    const failing: Step<Context>[] = [
      ...steps,
      { name: 'fails', run: () => Promise.reject(broken) },
      { name: 'later', run: async ({ done }) => void done.push('later') },
    ];
    await expect(runSequence('test', failing, context, { timeline })).rejects.toBe(broken);
    expect(host.of('boot.error')).toEqual([
      'the disk does not open: no key available (file /dev/vdb1) [LUKS_KEY_WRONG]',
    ]);
    expect(context.done).not.toContain('later');
    expect(records.at(-1)).toMatchObject({ phase: 'fails', outcome: 'failed' });
    expect(records.at(-1)?.error).toContain('no key available');
  });

  it('lets the other phases of a group end before it fails', async () => {
    const group: Step<Context>[] = [
      [
        { name: 'fails', run: () => Promise.reject(new Error('broken')) },
        { name: 'ends', run: (c) => new Promise((resolve) => setTimeout(() => resolve(void c.done.push('ends')), 20)) },
      ],
    ];
    await expect(runSequence('test', group, context, { timeline })).rejects.toThrow('broken');
    expect(context.done).toEqual(['ends']);
    expect(host.of('boot.error')).toHaveLength(1);
  });

  it('looks for the address of the host when it fails before the address is known', async () => {
    const late: Context = { ...context, host: new HostNotifier(host.deliver), locateHost: async () => 'unix:/late' };
    const failing: Step<Context>[] = [{ name: 'fails', run: () => Promise.reject(new Error('no disk')) }];
    await expect(runSequence('test', failing, late, { timeline })).rejects.toThrow('no disk');
    expect(host.of('boot.error')).toEqual(['no disk [INTERNAL]']);
  });

  it('fails with the first error even when the host cannot be found', async () => {
    const late: Context = {
      ...context,
      host: new HostNotifier(host.deliver),
      locateHost: () => Promise.reject(new Error('no share')),
    };
    const failing: Step<Context>[] = [{ name: 'fails', run: () => Promise.reject(new Error('no disk')) }];
    await expect(runSequence('test', failing, late, { timeline })).rejects.toThrow('no disk');
  });
});

describe('HostNotifier', () => {
  it('keeps events until the address is known, and their order', async () => {
    const notifier = new HostNotifier(host.deliver);
    notifier.progress('a');
    notifier.send('instance.info', '{}');
    expect(host.events).toEqual([]);
    notifier.open('unix:/x');
    notifier.progress('b');
    expect(await notifier.flush(1000)).toBe(true);
    expect(host.events.map(([, payload]) => payload)).toEqual(['a', '{}', 'b']);
  });

  it('goes on after a failed delivery', async () => {
    let calls = 0;
    const notifier = new HostNotifier(async (url, event, payload) => {
      calls += 1;
      if (calls === 1) throw new Error('refused');
      await host.deliver(url, event, payload);
    });
    notifier.open('unix:/x');
    notifier.progress('a');
    notifier.progress('b');
    expect(await notifier.flush(1000)).toBe(true);
    expect(host.of('boot.progress')).toEqual(['b']);
  });

  it('gives up at the bound, and works again afterwards', async () => {
    let hang = true;
    const notifier = new HostNotifier((url, event, payload, signal) =>
      hang
        ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        : signal.aborted
          ? Promise.reject(signal.reason)
          : host.deliver(url, event, payload),
    );
    notifier.open('unix:/x');
    notifier.progress('a');
    notifier.progress('b');
    expect(await notifier.flush(30)).toBe(false);
    hang = false;
    await new Promise((resolve) => setImmediate(resolve));
    notifier.send('boot.error', 'c');
    expect(await notifier.flush(1000)).toBe(true);
    expect(host.events).toEqual([['boot.error', 'c']]);
  });

  it('has nothing to wait for without a host', async () => {
    const notifier = new HostNotifier(host.deliver);
    expect(await notifier.flush(1000)).toBe(true);
    notifier.progress('a');
    expect(await notifier.flush(1000)).toBe(false);
  });
});

describe('describeFailure', () => {
  it('names file, field and value once', () => {
    const error = new DstackError('DOCUMENT_INVALID', 'field name must be a string', {
      path: 'app-compose.json',
      field: 'name',
      value: 7,
    });
    expect(describeFailure(error)).toBe(
      'field name must be a string (file app-compose.json, value 7) [DOCUMENT_INVALID]',
    );
  });
});

describe('timeline', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'timeline-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('appends a JSON line a phase', async () => {
    const path = join(dir, 'deep', 'boot.jsonl');
    await runSequence('test', steps, context, { timeline: fileTimeline(path) });
    expect((await readTimelines({ path, mountPoint: '/nowhere' })).current.map(({ phase }) => phase)).toEqual([
      'one',
      'quick',
      'slow',
      'never',
      'measured',
    ]);
  });

  it('does not fail the boot when it cannot be written', async () => {
    await runSequence('test', steps, context, { timeline: fileTimeline('/dev/null/boot.jsonl') });
    expect(context.done).toContain('measured');
  });
});

it('planText lists the phases and marks a group', () => {
  expect(planText('test', steps).split('\n')).toEqual([
    'test 1/5  one',
    'test 2/5  slow (at the same time)',
    'test 3/5  quick (at the same time)',
    'test 4/5  never',
    'test 5/5  measured',
  ]);
});
