/** The app's part of a prediction file: what `measure --json` writes, and what `verify --expect-measure` reads. */
import { toHex } from '../codec/hex.ts';
import type { Prediction } from './predict-app.ts';

const hexOrNull = (bytes: Uint8Array | undefined): string | null => (bytes === undefined ? null : toHex(bytes));

/** Hex throughout; null for what cannot be known. */
export function predictionJson(prediction: Prediction) {
  return {
    compose_hash: toHex(prediction.composeHash),
    app_id: toHex(prediction.appId),
    event_log_version: prediction.version,
    rtmr3: hexOrNull(prediction.rtmr3),
    rtmr3_boot_mr_done: hexOrNull(prediction.bootRtmr3),
    events: prediction.events.map(({ event, payload, digest, register }) => ({
      event,
      payload: hexOrNull(payload),
      digest: hexOrNull(digest),
      rtmr3: hexOrNull(register),
    })),
    unknown: prediction.unknown,
    assumed: prediction.assumed,
  };
}
