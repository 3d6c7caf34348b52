/**
 * Environments: what a deployer writes, what arrives decrypted, what an app's script leaves behind. The first byte picks the
 * form. Documents that are accepted must come back from our own writer, and each line of .decrypted-env must hold one variable.
 */

import { formatEnvJson } from '../../../src/config/encrypted-env.ts';
import { readEnvDocument } from '../../../src/config/env-document.ts';
import { formatEnvFile } from '../../../src/config/env-file.ts';
import { formatEnvDocument, parseEnvText } from '../../../src/config/env-text.ts';
import { parseEnvironment } from '../../../src/deploy/scripts.ts';
import { JSON_WORDS, oneOf } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const NAMES = ['A', 'B_1', '__proto__', 'constructor', 'PATH'];

/** A value as a shell would read it from the file: quotes with backslash escapes, or bare. Written from POSIX, not from our writer. */
function asShell(text: string): string {
  if (!text.startsWith('"')) return text;
  return text.slice(1, -1).replace(/\\([$`"\\])/g, '$1');
}

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...JSON_WORDS,
    '{"env":[{"key":"A","value":"',
    ...NAMES.map((name) => `"key":"${name}","value":"x"`),
    'A=',
    '\n',
    '\r\n',
    '\\',
    '\\\\"',
    '$(id)',
    '`id`',
    "'",
    '#',
    '\0',
    '~',
  ],
  run: oneOf(
    (bytes) => {
      const env = readEnvDocument(
        bytes,
        NAMES,
        () => {},
        () => {},
      );
      const again = readEnvDocument(
        formatEnvDocument([...env].map(([key, value]) => ({ key, value }))),
        NAMES,
        () => {},
        () => {},
      );
      same('written and read again', [...again], [...env]);
      const lines = formatEnvFile(env).split('\n');
      same('lines of the file', lines.length, env.size + 1);
      for (const [at, [key, value]] of [...env].entries()) {
        const line = lines[at] ?? '';
        same('name in the file', line.slice(0, line.indexOf('=')), key);
        const text = line.slice(line.indexOf('=') + 1);
        // a newline is written as two characters, which a shell keeps (the deployed form)
        if (!value.includes('\n') && !value.includes('\\')) same('value for a shell', asShell(text), value);
      }
      same('as an object', Object.entries(JSON.parse(formatEnvJson(env)) as object).length, env.size);
    },
    (bytes) => {
      const variables = parseEnvText(bytes, 'env');
      same('as the document', parseEnvText(formatEnvDocument(variables), 'env'), variables);
    },
    (bytes) => {
      for (const key of parseEnvironment(bytes).keys()) if (key === '' || key.includes('\0')) throw new Error('a name');
    },
  ),
};
export default target;
