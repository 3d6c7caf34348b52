/** The plain lists under initramfs/: one word a line, `#` starts a comment. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from './cache.ts';

/** Parses a list; a repeated entry is a mistake of whoever edited it. */
export function parseList(text: string, name: string): string[] {
  const words = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  for (const [index, word] of words.entries()) {
    if (/\s/.test(word)) throw new Error(`${name}: '${word}' is more than one word`);
    if (words.indexOf(word) !== index) throw new Error(`${name}: '${word}' is listed twice`);
  }
  return words;
}

/** Reads `initramfs/<name>`. */
export async function readList(name: string): Promise<string[]> {
  return parseList(await readFile(join(projectRoot, 'initramfs', name), 'utf8'), name);
}
