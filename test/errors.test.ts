import { describe, expect, it } from 'vitest';
import { DstackError, ERRORS, errorChain, findCause, toDstackError } from '../src/errors.ts';
import { duration, formatError } from '../src/ui.ts';

describe('the error table', () => {
  it.each(Object.entries(ERRORS))('%s is well formed', (code, { exit, hint }) => {
    expect(code).toMatch(/^[A-Z0-9]+(_[A-Z0-9]+)*$/);
    expect([1, 2, 3]).toContain(exit);
    expect(hint).not.toMatch(/\.$/);
    expect(hint.length).toBeGreaterThan(5);
  });
});

describe('DstackError', () => {
  it('joins its chain from the outside in, without repetition', () => {
    const root = new Error('EBUSY');
    const chained = new DstackError('FS_MOUNT_FAILED', 'cannot mount', {
      cause: new Error('mount failed', { cause: root }),
    });
    expect(errorChain(chained)).toBe('cannot mount: mount failed: EBUSY');
    expect(errorChain(new Error('same', { cause: new Error('same') }))).toBe('same');
  });

  it('bounds a chain that bites its own tail', () => {
    const first = new Error('a');
    const second = new Error('b', { cause: first });
    first.cause = second;
    expect(errorChain(first).split(': ')).toHaveLength(16);
  });

  it('keeps its code through toDstackError and is found inside other errors', () => {
    const inner = new DstackError('QUOTE_EMPTY', 'no quote');
    expect(toDstackError(inner)).toBe(inner);
    expect(toDstackError('text').code).toBe('INTERNAL');
    expect(findCause(new Error('outer', { cause: inner }), 'QUOTE_EMPTY')).toBe(inner);
    expect(findCause(inner, 'INTERNAL')).toBeUndefined();
  });

  it('cuts a long value', () => {
    expect(new DstackError('INPUT_INVALID', 'x', { value: 'y'.repeat(500) }).value).toHaveLength(121);
  });
});

describe('what a person reads', () => {
  it('shows code, causes, place and hint', () => {
    const failure = new DstackError('DOCUMENT_INVALID', 'runner must be a string', {
      path: 'app-compose.json',
      field: 'runner',
      value: 7,
      cause: new Error('why'),
    });
    expect(formatError(failure)).toBe(
      [
        'error [DOCUMENT_INVALID]: runner must be a string',
        '  caused by: why',
        '  where: file app-compose.json, field runner, value "7"',
        '  hint: correct the named field',
      ].join('\n'),
    );
  });

  it.each([
    [0.4, '0 ms'],
    [999, '999 ms'],
    [1234, '1.2 s'],
    [125_000, '2 min 05 s'],
  ])('%d ms reads %s', (ms, text) => expect(duration(ms)).toBe(text));
});
