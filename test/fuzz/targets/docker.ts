/** What docker, nerdctl and compose say: log frames cut at any byte, inspect and stats answers, lists, the model of a file. */

import { activeServices, parseComposeModel } from '../../../src/deploy/compose-model.ts';
import { parseState, parseUsage } from '../../../src/deploy/container-figures.ts';
import { dockerMessage } from '../../../src/deploy/docker-api.ts';
import { DockerFrames, type LogFrame } from '../../../src/deploy/log-frames.ts';
import { parsePs } from '../../../src/deploy/nerdctl-compose.ts';
import { Random } from '../mutate.ts';
import { JSON_WORDS, oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

/** Frames of these pieces, and whether the stream ended in damage. */
function frames(pieces: readonly Uint8Array[]): { frames: LogFrame[]; damaged: boolean } {
  const reader = new DockerFrames(false);
  const out: LogFrame[] = [];
  try {
    for (const piece of pieces) for (const frame of reader.push(piece)) out.push(frame);
  } catch {
    return { frames: out, damaged: true };
  }
  return { frames: out, damaged: false };
}

function pieces(input: Uint8Array): Uint8Array[] {
  const random = new Random(input.reduce((sum, byte) => (sum * 31 + byte) >>> 0, input.length));
  const out: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const size = 1 + random.below(random.below(3) === 0 ? 3 : 60);
    out.push(input.subarray(at, at + size));
    at += size;
  }
  return out;
}

/** A text that is not JSON ends at the caller, which says so. */
function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8(bytes));
  } catch {
    return null;
  }
}

/** Readers whose callers turn every error into one of theirs may throw what JSON.parse throws, and nothing that never ends. */
function orError(work: () => void): void {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof Error)) throw new Error(`thrown: ${String(thrown)}`);
  }
}

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    ...JSON_WORDS,
    Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1),
    Uint8Array.of(2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 1),
    '"State":{"Health":{"Status":',
    '"StartedAt":',
    '"memory_stats":{"usage":1',
    '"networks":{"a":{"rx_bytes":1',
    '"services":{"a":{"profiles":[',
    '"ExitCode":',
  ],
  run: oneOf(
    (bytes) => same('frames in pieces', frames(pieces(bytes)), frames([bytes])),
    (bytes) => {
      const state = parseState(json(bytes));
      if (state.startedAt !== undefined && !(state.startedAt > 0)) throw new Error(`started at ${state.startedAt}`);
    },
    (bytes) => {
      for (const value of Object.values(parseUsage(json(bytes))))
        if (value !== undefined && !(value >= 0)) throw new Error(`a figure of ${value}`);
    },
    (bytes) => orError(() => void parsePs(utf8(bytes))),
    (bytes) =>
      orError(() => void activeServices(parseComposeModel(utf8(bytes)), new Map([['COMPOSE_PROFILES', 'a,*']]))),
    (bytes) => void dockerMessage(utf8(bytes)),
  ),
};
export default target;
