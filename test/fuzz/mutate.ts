/** Changes to inputs: bytes, numbers, blocks, words of the dictionary, pieces of other inputs. Repeatable from a seed. */

/** Mulberry32: small, fast, and the same everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** a whole number from 0 to `below` - 1 */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

const INTERESTING = [
  0, 1, 2, 3, 4, 5, 16, 32, 48, 63, 64, 127, 128, 255, 256, 1024, 16_383, 65_535, 65_536, 0x7fffffff, 0xffffffff,
];

type Change = (input: Buffer, random: Random, pool: Pool) => Buffer;
interface Pool {
  readonly inputs: readonly Uint8Array[];
  readonly words: readonly Uint8Array[];
  readonly limit: number;
}

const place = (input: Buffer, random: Random): number => random.below(input.length + 1);
const insert = (input: Buffer, at: number, piece: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
const overwrite = (input: Buffer, at: number, piece: Uint8Array): Buffer => {
  const out = Buffer.from(input);
  out.set(piece.subarray(0, Math.max(0, out.length - at)), Math.min(at, out.length));
  return out;
};
/** start and length of a block, short ones more often */
const block = (length: number, random: Random): [number, number] => {
  const start = random.below(length + 1);
  const most = Math.min(length - start, random.below(4) === 0 ? length : 32);
  return [start, random.below(most + 1)];
};

const CHANGES: readonly Change[] = [
  (input, random) => {
    if (input.length === 0) return input;
    const out = Buffer.from(input);
    const at = random.below(out.length);
    out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
    return out;
  },
  (input, random) => overwrite(input, place(input, random), Uint8Array.of(random.below(256))),
  (input, random) => {
    if (input.length === 0) return input;
    const out = Buffer.from(input);
    const at = random.below(out.length);
    out[at] = ((out[at] ?? 0) + random.below(33) - 16) & 0xff;
    return out;
  },
  (input, random) => overwrite(input, place(input, random), number(random)),
  (input, random) => insert(input, place(input, random), number(random)),
  (input, random) =>
    insert(
      input,
      place(input, random),
      Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256)),
    ),
  (input, random) => {
    const [start, length] = block(input.length, random);
    return Buffer.concat([input.subarray(0, start), input.subarray(start + length)]);
  },
  (input, random) => {
    const [start, length] = block(input.length, random);
    return insert(input, place(input, random), input.subarray(start, start + length));
  },
  (input, random) => {
    const [start, length] = block(input.length, random);
    return overwrite(input, place(input, random), input.subarray(start, start + length));
  },
  (input, random, { words }) => (words.length === 0 ? input : insert(input, place(input, random), random.pick(words))),
  (input, random, { words }) =>
    words.length === 0 ? input : overwrite(input, place(input, random), random.pick(words)),
  (input, random, { inputs }) => {
    const other = random.pick(inputs);
    const [start, length] = block(other.length, random);
    const piece = other.subarray(start, start + length);
    return random.below(2) === 0
      ? insert(input, place(input, random), piece)
      : overwrite(input, place(input, random), piece);
  },
  // the head of one and the tail of another
  (input, random, { inputs }) => {
    const other = random.pick(inputs);
    return Buffer.concat([input.subarray(0, place(input, random)), other.subarray(random.below(other.length + 1))]);
  },
  (input, random) => input.subarray(0, place(input, random)),
  // digits of text
  (input, random) => {
    const start = place(input, random);
    for (let at = start; at < Math.min(input.length, start + 64); at++) {
      const byte = input[at] ?? 0;
      if (byte >= 0x30 && byte <= 0x39) return overwrite(input, at, Uint8Array.of(0x30 + random.below(10)));
    }
    return input;
  },
  // a block many times: what a reader does with the longest input shows here
  (input, random, { limit }) => {
    if (random.below(30) !== 0 || input.length === 0) return input;
    const [start, length] = block(input.length, random);
    const piece = input.subarray(start, start + Math.max(1, length));
    const times = Math.floor((limit - input.length) / Math.max(1, piece.length));
    if (times < 1 || piece.length === 0) return input;
    return insert(input, start, Buffer.alloc((1 + random.below(times)) * piece.length, piece));
  },
];

function number(random: Random): Uint8Array {
  const out = Buffer.alloc(random.pick([1, 2, 4, 8]));
  const value = BigInt(random.pick(INTERESTING)) + BigInt(random.below(3) - 1);
  const bits = BigInt.asUintN(8 * out.length, value);
  for (let index = 0; index < out.length; index++) out[index] = Number((bits >> BigInt(8 * index)) & 0xffn);
  return random.below(2) === 0 ? out : Buffer.from(out).reverse();
}

/** One new input from an old one: one to eight changes, cut to the limit. */
export function mutate(input: Uint8Array, random: Random, pool: Pool): Uint8Array {
  let out = Buffer.from(input);
  const changes = 1 + random.below(random.below(3) === 0 ? 8 : 3);
  for (let change = 0; change < changes; change++) out = Buffer.from(random.pick(CHANGES)(out, random, pool));
  return Uint8Array.from(out.subarray(0, pool.limit));
}
