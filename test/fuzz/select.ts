/** For targets of several small readers: the first byte of an input picks one, the rest is what it reads. */

export type Reader = (input: Uint8Array) => void | Promise<void>;

/** One `run` for all readers. */
export const oneOf =
  (...readers: readonly Reader[]): Reader =>
  (input) =>
    readers[(input[0] ?? 0) % readers.length]?.(input.subarray(1));

/** Inputs for the reader with this number. */
export const forReader = (number: number, ...inputs: readonly (string | Uint8Array)[]): Uint8Array[] =>
  inputs.map((input) => Uint8Array.from([number, ...(typeof input === 'string' ? Buffer.from(input) : input)]));

/** Text as the readers of files and answers see it: broken UTF-8 becomes replacement characters. */
export const utf8 = (input: Uint8Array): string => Buffer.from(input).toString('utf8');

/** Words that JSON documents trip over. */
export const JSON_WORDS: readonly string[] = [
  '"__proto__":{}',
  '"constructor":',
  '"toString":1',
  '"valueOf":1',
  '"length":-1',
  'null',
  'true',
  '[]',
  '{}',
  '""',
  '-0',
  '1e400',
  '1.5',
  '9007199254740993',
  '\\ud800',
  '\\u0000',
  '\ufeff',
  '"a":1,"a":2',
];
