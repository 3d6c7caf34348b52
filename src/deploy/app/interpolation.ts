/**
 * Variables in the text of a compose file, as docker compose fills them in: `$NAME`, `${NAME}`, and `${NAME` followed by
 * `:-`, `-` (default), `:?`, `?` (required), `:+`, `+` (replacement). `$$` is a dollar sign, and a dollar sign before
 * anything else stands for itself. Source: Compose specification, interpolation; docker compose 2.26.
 */

export interface VariableUse {
  readonly name: string;
  /** a default or a replacement is written for it: without a value nothing is missing */
  readonly optional: boolean;
  /** compose refuses the file when it has no value */
  readonly required: boolean;
}

export interface Interpolation {
  readonly uses: readonly VariableUse[];
  /** the first piece that compose refuses, such as `${A` */
  readonly invalid?: string;
  /** the text without the environment: defaults filled in, everything else empty */
  readonly bare: string;
}

const NAME = /^[_a-z][_a-z0-9]*/i;
const OPERATOR = /^(:?[-?+])/;
const SHOWN = 40;

/** Finds the variables of one string. */
export function interpolation(text: string): Interpolation {
  const uses: VariableUse[] = [];
  let invalid: string | undefined;
  let bare = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0) break;
    bare += text.slice(at, dollar);
    const rest = text.slice(dollar + 1);
    const named = NAME.exec(rest)?.[0];
    if (rest.startsWith('$')) {
      bare += '$';
      at = dollar + 2;
    } else if (named !== undefined) {
      uses.push({ name: named, optional: false, required: false });
      at = dollar + 1 + named.length;
    } else if (rest.startsWith('{')) {
      const end = closing(text, dollar + 2);
      const braced = end === undefined ? undefined : bracedUse(text.slice(dollar + 2, end));
      if (end === undefined || braced === undefined) {
        invalid ??= text.slice(dollar, dollar + SHOWN).split('\n')[0] ?? '';
        at = dollar + 2;
        continue;
      }
      uses.push(...braced.uses);
      invalid ??= braced.invalid;
      bare += braced.bare;
      at = end + 1;
    } else {
      bare += '$';
      at = dollar + 1;
    }
  }
  return { uses, ...(invalid === undefined ? {} : { invalid }), bare: bare + text.slice(at) };
}

/** Where the brace that is open before `from` closes; a default may have variables in braces of its own. */
function closing(text: string, from: number): number | undefined {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '$' && text[at + 1] === '{') depth++;
    else if (text[at] === '}' && --depth === 0) return at;
  }
  return undefined;
}

/** What stands between the braces. */
function bracedUse(inside: string): Interpolation | undefined {
  const name = NAME.exec(inside)?.[0];
  if (name === undefined) return undefined;
  const rest = inside.slice(name.length);
  if (rest === '') return { uses: [{ name, optional: false, required: false }], bare: '' };
  const operator = OPERATOR.exec(rest)?.[1];
  if (operator === undefined) return undefined;
  const nested = interpolation(rest.slice(operator.length));
  const own = { name, optional: !operator.endsWith('?'), required: operator.endsWith('?') };
  return {
    uses: [own, ...(own.required ? [] : nested.uses)],
    ...(nested.invalid === undefined ? {} : { invalid: nested.invalid }),
    bare: operator.endsWith('-') ? nested.bare : '',
  };
}
