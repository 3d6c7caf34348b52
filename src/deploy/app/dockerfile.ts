/** As much of a Dockerfile as says where its content comes from. */

const ONE_LINE = /\\\s*$/;

interface Instruction {
  /** first line, from 1 */
  readonly line: number;
  readonly word: string;
  readonly rest: string;
}

/** Instructions with their continuation lines joined; here-documents and comments are left out. */
function instructions(text: string): Instruction[] {
  const lines = text.split('\n');
  const out: Instruction[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = i + 1;
    let joined = '';
    for (; i < lines.length; i++) {
      const current = lines[i] ?? '';
      if (/^\s*#/.test(current)) {
        if (joined === '') break;
        continue;
      }
      joined += current.replace(ONE_LINE, ' ');
      if (!ONE_LINE.test(current)) break;
    }
    const match = /^\s*([A-Za-z]+)\s+(.*)$/s.exec(joined);
    if (match === null) continue;
    const [, word = '', rest = ''] = match;
    out.push({ line, word: word.toUpperCase(), rest: rest.trim() });
    for (const [, name = ''] of rest.matchAll(/<<-?["']?([A-Za-z_]\w*)["']?/g)) {
      do i++;
      while (i < lines.length && (lines[i] ?? '').trim() !== name);
    }
  }
  return out;
}

/** Instructions that take files from the build context. */
export function dockerfileCopies(text: string): { line: number; sources: string[] }[] {
  return instructions(text).flatMap(({ line, word, rest }) => {
    if ((word !== 'COPY' && word !== 'ADD') || /(^|\s)--from=/.test(rest)) return [];
    const words = rest.startsWith('[')
      ? [...rest.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, item = '']) => item)
      : rest.split(/\s+/).filter((item) => !item.startsWith('--'));
    const sources = words
      .slice(0, -1)
      .filter((item) => !item.startsWith('<<') && !(word === 'ADD' && /^(https?:\/\/|git@)/.test(item)));
    return sources.length === 0 ? [] : [{ line, sources }];
  });
}

/** The images that it starts from; earlier stages and `scratch` are none. */
export function dockerfileBases(text: string): { line: number; image: string }[] {
  const stages = new Set(['scratch']);
  return instructions(text).flatMap(({ line, word, rest }) => {
    if (word !== 'FROM') return [];
    const [image = '', as, name] = rest.split(/\s+/).filter((item) => !item.startsWith('--'));
    const known = stages.has(image.toLowerCase());
    if (as?.toUpperCase() === 'AS' && name !== undefined) stages.add(name.toLowerCase());
    return known ? [] : [{ line, image }];
  });
}
