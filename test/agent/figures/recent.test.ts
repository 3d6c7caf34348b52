import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Recent } from '../../../src/agent/figures/recent.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('Recent', () => {
  it('shares an answer for five seconds, separately for each key', async () => {
    const recent = new Recent<number>();
    let calls = 0;
    const make = async () => ++calls;
    expect(await Promise.all([recent.get('a', make), recent.get('a', make), recent.get('b', make)])).toEqual([1, 1, 2]);
    vi.advanceTimersByTime(4999);
    expect(await recent.get('a', make)).toBe(1);
    vi.advanceTimersByTime(2);
    expect(await recent.get('a', make)).toBe(3);
  });
  it('forgets a failure after one second', async () => {
    const recent = new Recent<number>();
    await expect(recent.get('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(recent.get('a', async () => 1)).rejects.toThrow('no');
    vi.advanceTimersByTime(1001);
    expect(await recent.get('a', async () => 1)).toBe(1);
  });
});
