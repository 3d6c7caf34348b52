/** Every recorded request to one kind of listener; the expectations are the same for all kinds. */
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseAnswer } from '../agent/raw-client.ts';
import { ATTACKS, type Attack, VICTIMS } from './attacks.ts';
import { type Facts, judge, verifications } from './meanings.ts';
import { RECORDED, type Recorded, withBody } from './recorded.ts';

export interface Served {
  /** a new connection to the listener that stands for this socket */
  dial(socket: Recorded['socket']): Promise<Socket>;
  readonly facts: Facts;
  stop(): Promise<void>;
}

/**
 * Sends all of it and returns everything that comes back.
 * @param open the client does not end its side
 */
export async function exchange(
  served: Served,
  socket: Recorded['socket'],
  bytes: Uint8Array,
  { open = false } = {},
): Promise<Buffer> {
  const connection = await served.dial(socket);
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const done = () => {
      connection.destroy();
      resolve(Buffer.concat(received));
    };
    connection.on('data', (data: Buffer) => received.push(data));
    for (const event of ['end', 'close', 'error']) connection.once(event, done);
    connection.write(bytes);
    if (!open) connection.end();
  });
}

/** The answers of one connection, told apart by their lengths. */
export function answersOf(received: Buffer): Buffer[] {
  const answers: Buffer[] = [];
  for (let at = 0; at < received.length; ) {
    const body = received.indexOf('\r\n\r\n', at) + 4;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(received.toString('latin1', at, body))?.[1];
    if (body < 4 || length === undefined) throw new Error(`not an answer: ${received.toString('latin1', at)}`);
    const end = body + Number(length);
    answers.push(received.subarray(at, end));
    at = end;
  }
  return answers;
}

/** connections at the same time */
const AT_ONCE = 16;

/** After these nothing more is read. Bare line feeds have no end that something could stand behind. */
const ENDING = ATTACKS.filter(
  ({ expected, open }) => expected !== 'same meaning' && expected.code === 'HTTP_REQUEST_INVALID' && open !== true,
);

/** What a proxy might hide behind the request that it lets through. */
const HIDDEN = Buffer.from('GET /GetKey?path=hidden HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');

/** Judges what comes back for one hostile counterpart. */
export function judgeAttack({ expected }: Attack, victim: Recorded, received: Buffer, facts: Facts): void {
  const answers = answersOf(received);
  expect(answers).toHaveLength(1);
  const [answer = Buffer.alloc(0)] = answers;
  if (expected === 'same meaning') {
    judge(victim, answer, facts);
    return;
  }
  const { status, headers, body } = parseAnswer(answer.toString('latin1'));
  expect([status, headers['x-error-code'], headers['x-error-field']]).toEqual([
    expected.status,
    expected.code,
    expected.field ?? Object.keys(victim.request)[0],
  ]);
  expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff' });
  if (expected.code === 'RPC_PAYLOAD_TOO_LARGE') return; // nothing is known of its form yet
  expect(headers['content-type']).toBe('application/json');
  expect(Object.keys(JSON.parse(body))).toEqual(['error']);
  expect(body).not.toContain('hidden');
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

    it.each(ATTACKS)('$what', async (attack) => {
      for (const victim of VICTIMS) {
        const bytes = attack.make(victim);
        judgeAttack(attack, victim, await exchange(served, victim.socket, bytes, attack), served.facts);
      }
    });
    it.each(ENDING)('$what: nothing behind it is read', async (attack) => {
      for (const victim of VICTIMS) {
        const bytes = Buffer.concat([attack.make(victim), HIDDEN]);
        judgeAttack(attack, victim, await exchange(served, victim.socket, bytes, attack), served.facts);
      }
    });

    it.each(VICTIMS)('$name: cut off at any byte', async (victim) => {
      const { bytes, socket } = victim;
      const header = bytes.indexOf('\r\n\r\n') + 4;
      const cut = async (at: number) => {
        const received = await exchange(served, socket, bytes.subarray(0, at));
        const field = at < header ? 'header' : 'body';
        const expected = { status: 400, code: 'HTTP_REQUEST_INVALID', field } as const;
        judgeAttack({ what: `${at} bytes`, make: () => bytes, expected }, victim, received, served.facts);
      };
      expect((await exchange(served, socket, new Uint8Array(0))).length).toBe(0); // nothing asked, nothing said
      for (let at = 1; at < bytes.length; at += AT_ONCE)
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, bytes.length - at) }, (_, i) => cut(at + i)));
    });

    it.each(['dstack', 'tappd'] as const)('all requests for %s.sock in one piece, in their order', async (socket) => {
      const requests = RECORDED.filter((recorded) => recorded.socket === socket);
      const received = await exchange(served, socket, Buffer.concat(requests.map(({ bytes }) => bytes)));
      const answers = answersOf(received);
      expect(answers).toHaveLength(requests.length);
      for (const [i, recorded] of requests.entries()) judge(recorded, answers[i] as Buffer, served.facts);
    });
  });
}
