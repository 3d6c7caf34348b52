/** Everything fuzzing kept or found, read once more: no input may do anything but be accepted or refused. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { tryInput } from './engine.ts';
import { mutate, Random } from './mutate.ts';
import { SEEDS } from './seeds.ts';
import { type FuzzTarget, MEMORY_LIMIT, outcome } from './target.ts';

const filesOf = (folder: string): [string, Uint8Array][] =>
  existsSync(folder)
    ? readdirSync(folder).map((name) => [join(folder, name), new Uint8Array(readFileSync(join(folder, name)))])
    : [];

describe.each(Object.keys(SEEDS))('%s', (name) => {
  const load = async () => ((await import(`./targets/${name}.ts`)) as { default: FuzzTarget }).default;

  it('accepts its seeds', async () => {
    const target = await load();
    const seeds = (await SEEDS[name]?.()) ?? [];
    const accepted = await Promise.all(seeds.map(async (seed) => (await outcome(target, seed)) === undefined));
    expect(accepted.filter((ok) => ok).length).toBeGreaterThan(0);
  });

  it('has an answer to everything that was kept and found', async () => {
    const target = await load();
    for (const [path, input] of [...filesOf(`test/fuzz/found/${name}`), ...filesOf(`test/fuzz/corpus/${name}`)]) {
      await expect(outcome(target, input), path).resolves.not.toBeNull();
    }
  });

  it('has an answer to changed seeds', async () => {
    const target = await load();
    const inputs = (await SEEDS[name]?.()) ?? [];
    const words = target.dictionary.map((word) => (typeof word === 'string' ? Buffer.from(word) : word));
    const random = new Random(1);
    for (let round = 0; round < 60; round++) {
      const input = mutate(random.pick(inputs), random, { inputs, words, limit: target.limit });
      await outcome(target, input);
    }
  });
});

describe('the driver', () => {
  const target = (run: FuzzTarget['run']): FuzzTarget => ({ limit: 100, dictionary: [], run });
  const input = new Uint8Array(2000);

  it('takes a refusal for an answer and everything else for a finding', async () => {
    const refuse = target(() => {
      throw new DstackError('QUOTE_INVALID', 'quote has 7 bytes');
    });
    expect(await tryInput(refuse, input)).toEqual({ refusal: 'QUOTE_INVALID quote has # bytes ' });
    expect(
      await tryInput(
        target(() => {}),
        input,
      ),
    ).toEqual({});
    const crash = target(() => {
      throw new RangeError('offset is outside the bounds');
    });
    expect((await tryInput(crash, input)).wrong).toContain('RangeError: offset is outside the bounds');
    const rejected = target(async () => Promise.reject(new TypeError('x is undefined')));
    expect((await tryInput(rejected, input)).wrong).toContain('TypeError');
  });

  it('finds what holds on to too much memory', async () => {
    const kept: Uint8Array[] = [];
    const hog = target(() => void kept.push(new Uint8Array(MEMORY_LIMIT + 1_000_000)));
    expect((await tryInput(hog, input)).wrong).toMatch(/memory grew by 1\d\d MB/);
  });

  it('changes inputs the same way from the same seed', () => {
    const inputs = [Uint8Array.of(1, 2, 3), new Uint8Array(100)];
    const run = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 50 }, () => mutate(random.pick(inputs), random, { inputs, words: [], limit: 64 }));
    };
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
    expect(Math.max(...run(7).map(({ length }) => length))).toBeLessThanOrEqual(64);
  });
});
