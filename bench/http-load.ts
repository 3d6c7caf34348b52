/**
 * An HTTP client that costs as little as possible, so that a benchmark on two cores measures the server: raw sockets of the
 * runtime, one request at a time on each connection, no parsing beyond Content-Length. Run as a process of its own:
 * `bun bench/http-load.ts '<json LoadOrder>'` prints a LoadReport.
 */
export interface LoadOrder {
  /** path of a unix socket, or a port on 127.0.0.1 */
  readonly target: string | number;
  readonly connections: number;
  /** how many requests, or for how many milliseconds */
  readonly requests?: number;
  readonly milliseconds?: number;
  /** each one as method, path and JSON body; `#` in the body becomes 16 digits that never come twice */
  readonly mix: readonly (readonly [method: string, path: string, body: string])[];
  /** a new connection after so many requests; 0 = never */
  readonly churn?: number;
}

export interface LoadReport {
  readonly requests: number;
  /** answers that are not 200 */
  readonly refused: number;
  readonly seconds: number;
  /** milliseconds */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface State {
  began: number;
  input: Buffer | undefined;
  count: number;
}
type Peer = { data: State; write(bytes: Uint8Array): number; end(): void };

export async function load(order: LoadOrder): Promise<LoadReport> {
  const { connections, mix, churn = 0, requests = Number.POSITIVE_INFINITY } = order;
  // one slot for each 10 microseconds up to a second; the last one holds everything slower
  const slots = new Uint32Array(100_001);
  let [sent, done, refused, max, unique] = [0, 0, 0, 0, process.pid * 1e6];
  const fixed = mix.map(([method, path, body]) => (body.includes('#') ? undefined : bytesOf(method, path, body)));
  const started = performance.now();
  const until = started + (order.milliseconds ?? Number.POSITIVE_INFINITY);
  await new Promise<void>((resolve, reject) => {
    const open = () => {
      const socket = {
        open(peer: Peer) {
          peer.data = { began: 0, input: undefined, count: 0 };
          ask(peer);
        },
        data: answered,
        error: (_: Peer, failure: Error) => reject(failure),
        connectError: (_: Peer, failure: Error) => reject(failure),
      };
      const { target } = order;
      const where = typeof target === 'string' ? { unix: target } : { hostname: '127.0.0.1', port: target };
      Bun.connect({ ...where, socket } as unknown as Parameters<typeof Bun.connect>[0]).catch(reject);
    };
    const ask = (peer: Peer) => {
      if (sent >= requests || performance.now() >= until) {
        if (done >= sent) resolve();
        return;
      }
      const choice = mix.length === 1 ? 0 : Math.floor(Math.random() * mix.length);
      const [method, path, body] = mix[choice] as (typeof mix)[number];
      sent++;
      peer.data.began = performance.now();
      peer.write(fixed[choice] ?? bytesOf(method, path, body.replace('#', String(unique++).padStart(16, '0'))));
    };
    const answered = (peer: Peer, data: Buffer) => {
      const state = peer.data;
      const input = state.input === undefined ? data : Buffer.concat([state.input, data]);
      const head = input.indexOf('\r\n\r\n');
      const length = head < 0 ? undefined : /content-length: (\d+)/i.exec(input.toString('latin1', 0, head))?.[1];
      if (length === undefined || input.length < head + 4 + Number(length)) {
        state.input = input;
        return;
      }
      state.input = undefined;
      if (input[9] !== 0x32) refused++;
      const took = performance.now() - state.began;
      max = Math.max(max, took);
      slots[Math.min(100_000, Math.round(took * 100))]! += 1;
      done++;
      if (churn > 0 && ++state.count % churn === 0) {
        peer.end();
        open();
      } else ask(peer);
    };
    for (let i = 0; i < connections; i++) open();
  });
  const seconds = (performance.now() - started) / 1000;
  return { requests: done, refused, seconds, p50: quantile(slots, done, 0.5), p99: quantile(slots, done, 0.99), max };
}

function bytesOf(method: string, path: string, body: string): Buffer {
  const fields = body === '' ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: dstack\r\n${fields}\r\n${body}`);
}

function quantile(slots: Uint32Array, total: number, share: number): number {
  let seen = 0;
  const slot = slots.findIndex((count) => {
    seen += count;
    return seen >= total * share;
  });
  return slot / 100;
}

if (import.meta.main) {
  console.log(JSON.stringify(await load(JSON.parse(process.argv[2] ?? '{}') as LoadOrder)));
  process.exit(0); // idle connections would keep it alive
}
