/** Writes expectation files: the other side of src/verify/expectation-file.ts. */
import { toHex } from '../codec/hex.ts';
import { writeAtomic } from '../sys/files.ts';
import type { Prediction } from '../tdx/predict-app.ts';
import { EXPECTATION_VERSION } from '../verify/verify.ts';

export interface Expected {
  /** undefined: nothing is said of the app */
  readonly app?: Prediction | undefined;
  /** the value of `image` */
  readonly image?: object | undefined;
  /** PEM; undefined for Intel's */
  readonly root?: string | undefined;
  /** TCB statuses besides UpToDate */
  readonly allowed?: readonly string[];
  /** `verify` must be given report data */
  readonly fresh: boolean;
}

/** The document as it is written: what is not known of the app's events stays open as null. */
export function expectationDocument({ app, image, root, allowed = [], fresh }: Expected): object {
  return {
    version: EXPECTATION_VERSION,
    ...(app === undefined
      ? {}
      : {
          app: {
            app_id: toHex(app.appId),
            compose_hash: toHex(app.composeHash),
            events: app.events.map(({ event, payload }) => ({
              event,
              payload: payload === undefined ? null : toHex(payload),
            })),
          },
        }),
    ...(image === undefined ? {} : { image }),
    ...(root === undefined ? {} : { root: { pem: root } }),
    ...(allowed.length === 0 ? {} : { tcb: { allowed_statuses: allowed } }),
    ...(fresh ? { report_data: 'required' } : {}),
  };
}

export const expectationText = (document: object): string => `${JSON.stringify(document, null, 2)}\n`;

/** Readable by everybody: there is no secret in it. @throws FILE_IO, FILE_NOT_FOUND */
export const writeExpectations = (path: string, document: object): Promise<void> =>
  writeAtomic(path, expectationText(document), 0o644);
