/** Who has a port that is taken, and a second simulator in one checkout. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { claim } from '../../initramfs/vm/claim.ts';
import { listeningSockets, whoHolds } from '../../initramfs/vm/port-holder.ts';
import { freePort, isFree } from '../../initramfs/vm/ports.ts';

it('names the process that listens on a port', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  expect(await isFree(port)).toBe(false);
  expect(whoHolds(port)).toMatch(new RegExp(`^\\S+ \\(process ${process.pid}\\)$`));
  await new Promise((resolve) => server.close(resolve));
  expect(whoHolds(await freePort())).toBe('another process');
});

it('reads only listening sockets of that port', () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F9A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F9A 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0`;
  expect(listeningSockets(table, 8090)).toEqual(['4711']);
});

it('one folder has one simulator', () => {
  const dir = mkdtempSync(join(tmpdir(), 'claim-'));
  const release = claim(dir, 'a simulator');
  expect(() => claim(dir, 'a simulator')).toThrow(
    `a simulator in ${dir} is running already (process ${process.pid})\n  hint: end it first, with Ctrl-C or kill ${process.pid}`,
  );
  release();
  claim(dir, 'a simulator')();
  rmSync(dir, { recursive: true });
});
