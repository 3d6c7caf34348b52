/** Options with a few possible values that are judged by the command itself: help and completions tell them all the same. */
import { Option } from 'commander';

/**
 * An option whose values are told, not checked: what is wrong ends in the command's own error, with its code and hint.
 * @param values in the order in which they are told
 */
export function offering(flags: string, description: string, values: readonly string[]): Option {
  const option = new Option(flags, description);
  option.argChoices = [...values];
  return option;
}
