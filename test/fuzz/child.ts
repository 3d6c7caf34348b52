/** The process that main.ts starts under Node: one job, given as JSON in the argument. */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type EngineOptions, fuzz, minimal, tryInput, unpacked } from './engine.ts';
import type { FuzzTarget } from './target.ts';

export type Job =
  | { readonly kind: 'fuzz'; readonly options: EngineOptions }
  | { readonly kind: 'batch'; readonly script: string; readonly batchFile: string }
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
  case 'batch': {
    const { default: target } = (await import(pathToFileURL(job.script).href)) as { default: FuzzTarget };
    for (const [index, input] of unpacked(readFileSync(job.batchFile)).entries()) {
      // said before it is tried: whoever dies has named the culprit
      await new Promise<void>((sent) => process.send?.({ index }, () => sent()));
      await tryInput(target, input);
    }
    process.send?.({ index: -1 });
    break;
  }
  case 'minimal':
    process.send?.((await minimal(job, job.most, job.size)).map((input) => Buffer.from(input).toString('base64')));
}
// the channel to the parent would keep the process alive
process.disconnect?.();
