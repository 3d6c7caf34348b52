/** Options that are a time in seconds. */
import { DstackError } from '../errors.ts';

/** @returns whole seconds, at most 99 999. @throws INPUT_INVALID naming the option */
export function seconds(option: string, text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new DstackError('INPUT_INVALID', `${option} wants a number of seconds`, { field: option, value: text });
}
