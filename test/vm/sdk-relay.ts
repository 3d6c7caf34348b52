/** A way for clients on this machine to the agent's unix sockets in a VM: each HTTP request becomes one curl in the guest. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Machine } from '../../initramfs/vm/machine.ts';

/** @returns the base URL, and how to stop */
export async function relay(vm: Machine, socket: string): Promise<{ url: string; stop: () => void }> {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('base64');
      const curl = `curl -sS --max-time 30 --unix-socket ${socket} -H 'content-type: application/json' --data-binary @-`;
      vm.ok(`echo ${body} | base64 -d | ${curl} 'http://dstack${request.url}' | base64 -w0`).then(
        (answer) => response.setHeader('content-type', 'application/json').end(Buffer.from(answer, 'base64')),
        (failure: Error) => response.writeHead(502).end(JSON.stringify({ error: failure.message })),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => server.close() };
}
