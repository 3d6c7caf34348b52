/** Every recorded request to one kind of listener; the expectations are the same for all kinds. */
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Facts, judge, verifications } from './meanings.ts';
import { RECORDED, type Recorded, withBody } from './recorded.ts';

export interface Served {
  /** a new connection to the listener that stands for this socket */
  dial(socket: Recorded['socket']): Promise<Socket>;
  readonly facts: Facts;
  stop(): Promise<void>;
}

/** Sends all of it, ends its side, and returns everything that comes back. */
export async function exchange(served: Served, socket: Recorded['socket'], ...pieces: Uint8Array[]): Promise<Buffer> {
  const connection = await served.dial(socket);
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const done = () => {
      connection.destroy();
      resolve(Buffer.concat(received));
    };
    connection.on('data', (data: Buffer) => received.push(data));
    for (const event of ['end', 'close', 'error']) connection.once(event, done);
    for (const piece of pieces) connection.write(piece);
    connection.end();
  });
}

/** The certificate in Info is made after the start. */
async function untilComplete(served: Served): Promise<void> {
  const info = RECORDED.find(({ method }) => method === 'Info') as Recorded;
  const complete = async () => (await exchange(served, info.socket, info.bytes)).includes('BEGIN CERTIFICATE');
  await vi.waitUntil(complete, { timeout: 30_000, interval: 200 });
}

/** @param serve starts an agent whose two sockets of the app are listeners of this kind */
export function listenerSuite(kind: string, serve: () => Promise<Served>): void {
  describe(`the official clients over ${kind}`, () => {
    let served: Served;
    beforeAll(async () => {
      served = await serve();
      await untilComplete(served);
    }, 60_000);
    afterAll(() => served?.stop());

    it.each(RECORDED)('$name', async (recorded) =>
      judge(recorded, await exchange(served, recorded.socket, recorded.bytes), served.facts),
    );

    it.each(RECORDED.filter(({ method }) => method === 'Sign'))('$name: Verify agrees', async (sign) => {
      const verify = RECORDED.find(({ method }) => method === 'Verify') as Recorded;
      for (const { body, valid } of verifications(sign, await exchange(served, 'dstack', sign.bytes))) {
        const answer = await exchange(served, 'dstack', withBody(verify, body));
        judge({ method: 'Verify', request: JSON.parse(body) }, answer, served.facts);
        expect(answer.toString('latin1')).toContain(`{"valid":${valid}}`);
      }
    });
  });
}
