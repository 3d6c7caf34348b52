import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { tidyWhenIdle } from '../../src/agent/idle.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('collects garbage once after a burst, and not while there is work', () => {
  let answers = 0;
  let collected = 0;
  const stop = tidyWhenIdle(
    () => answers,
    () => void collected++,
    100,
  );
  const pass = (busy: number, rounds = 1) => {
    for (let i = 0; i < rounds; i++) {
      answers += busy;
      vi.advanceTimersByTime(100);
    }
  };
  pass(0, 5);
  pass(10, 5);
  pass(0, 5);
  expect(collected).toBe(0); // 50 answers are not worth it
  pass(1000, 5);
  expect(collected).toBe(0);
  pass(0, 5);
  expect(collected).toBe(1);
  pass(2000);
  pass(0, 3);
  expect(collected).toBe(2);
  stop();
  pass(2000);
  pass(0, 3);
  expect(collected).toBe(2);
});
