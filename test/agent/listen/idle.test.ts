import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { tidyWhenIdle } from '../../../src/agent/listen/idle.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('tidies once after the start and after a burst; while there is work it only lets pages go, now and then', () => {
  let answers = 0;
  let [collected, released] = [0, 0];
  const tidying = { collect: () => void collected++, release: () => void released++ };
  const stop = tidyWhenIdle(() => answers, tidying, 100);
  const pass = (busy: number, rounds = 1) => {
    for (let i = 0; i < rounds; i++) {
      answers += busy;
      vi.advanceTimersByTime(100);
    }
  };
  pass(0, 5);
  expect([collected, released]).toEqual([1, 1]); // what the start left behind
  pass(10, 5);
  pass(0, 4);
  expect([collected, released]).toEqual([1, 1]); // 50 answers are not worth it
  pass(1000, 30);
  expect([collected, released]).toEqual([1, 3]);
  pass(0, 5);
  expect([collected, released]).toEqual([2, 4]);
  pass(2000);
  pass(0, 3);
  expect([collected, released]).toEqual([3, 5]);
  stop();
  pass(2000);
  pass(0, 30);
  expect([collected, released]).toEqual([3, 5]);
});
