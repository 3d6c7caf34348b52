/** Text in lines: words stay whole where they fit, and nothing is lost. */

/**
 * @param width characters in a line; Infinity for one line
 * @param indent characters before every line but the first, whose head the caller has written already
 * @returns at least one line, the first without its indent
 */
export function wrapText(text: string, width: number, indent: number): string[] {
  const room = Math.max(width - indent, 20);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    let rest = word;
    if (line !== '' && line.length + 1 + rest.length <= room) line += ` ${rest}`;
    else {
      if (line !== '') lines.push(line);
      // a hash longer than a line is the only word that is broken
      for (; rest.length > room; rest = rest.slice(room)) lines.push(rest.slice(0, room));
      line = rest;
    }
  }
  lines.push(line);
  return lines.map((part, at) => (at === 0 ? part : ' '.repeat(indent) + part));
}
