/** The process that main.ts starts under Node: one job, given as JSON in the argument. */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type EngineOptions, fuzz, minimal, tryInput } from './engine.ts';
import type { FuzzTarget } from './target.ts';

export type Job =
  | { readonly kind: 'fuzz'; readonly options: EngineOptions }
  | { readonly kind: 'try'; readonly script: string; readonly input: string }
  | {
      readonly kind: 'minimal';
      readonly script: string;
      readonly corpus: readonly string[];
      readonly most: number;
      readonly size: number;
    };

const job = JSON.parse(process.argv[2] ?? 'null') as Job;
switch (job.kind) {
  case 'fuzz':
    await fuzz(job.options);
    break;
  case 'try': {
    const { default: target } = (await import(pathToFileURL(job.script).href)) as { default: FuzzTarget };
    const { wrong } = await tryInput(target, new Uint8Array(readFileSync(job.input)));
    process.send?.({ wrong });
    break;
  }
  case 'minimal':
    process.send?.((await minimal(job, job.most, job.size)).map((input) => Buffer.from(input).toString('base64')));
}
// the channel to the parent would keep the process alive
process.disconnect?.();
