/** `npm run verify-page`: the verification page on 127.0.0.1, or in a file. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { buildVerifyPage } from '../packages/verify-page/build.ts';
import { pageServer } from '../packages/verify-page/serve.ts';
import { packageVersion, revision } from './lib/revision.ts';
import { npmScript, runScript, wholeNumber } from './lib/script.ts';

async function verifyPage({ port, out }: { port: number; out?: string }): Promise<void> {
  const page = await buildVerifyPage(`v${packageVersion()} (${await revision()})`);
  if (out !== undefined) {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, page.html);
    console.error(`wrote ${out}, ${Math.round(page.html.length / 1000)} kB: one file, to be opened in any browser`);
    return;
  }
  const server = pageServer(page);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (failure: NodeJS.ErrnoException) =>
      reject(
        failure.code === 'EADDRINUSE'
          ? new Error(`port ${port} of 127.0.0.1 is taken\n  hint: choose another one: npm run verify-page -- --port N`)
          : failure,
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  console.error(`page: http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

await runScript(
  npmScript('verify-page', 'serve the page that verifies evidence in a browser')
    .option('--port <number>', 'port on 127.0.0.1; 0 takes a free one', wholeNumber(0, 65535), 8091)
    .option('--out <file>', 'write the page to a file instead: it needs no server')
    .action(verifyPage),
);
