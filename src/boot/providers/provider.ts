/** Where the keys of an app come from: one file a source, all behind this interface. */
import type { KeyProviderKind } from '../../config/app-compose.ts';
import type { AppKeys } from '../../config/app-keys.ts';
import type { SysConfig } from '../../config/sys-config.ts';
import type { TcbStatus } from '../../config/tcb-status.ts';
import type { Attestation } from '../../tdx/attestation.ts';

/** Evidence of this guest over 64 bytes of report data. */
export type Attest = (reportData: Uint8Array) => Promise<Attestation>;

/** What a provider may use of the machine. */
export interface KeyRequest {
  readonly attest: Attest;
  /** measures a runtime event into RTMR3 */
  readonly measure: (event: string, payload: Uint8Array) => Promise<void>;
  readonly sysConfig: SysConfig;
  /** waits between tries; tests do not wait */
  readonly pause: (ms: number) => Promise<void>;
  /** what a peer that sends keys must be; undefined: anything but revoked */
  readonly peerTcb: readonly TcbStatus[] | undefined;
  /** one sentence for the timeline */
  readonly note: (text: string) => void;
}

/** What can be known before anything is measured. */
export interface MachineFacts {
  readonly sysConfig: SysConfig;
  /** put in front of absolute paths, empty but for tests */
  readonly root: string;
}

export interface KeyProvider {
  readonly kind: KeyProviderKind;
  /** Refuses a machine or a configuration on which `obtain` cannot work. Called before anything is measured. */
  check?(machine: MachineFacts): Promise<void>;
  /**
   * Gets all keys of this app; the caller wipes them. When it fails there are no keys: no provider ever falls back to
   * another one, because the app was promised the strength of the one it names.
   */
  obtain(request: KeyRequest): Promise<AppKeys>;
}
