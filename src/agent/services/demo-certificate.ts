/** The demo certificate of Info: issued in the background, so that Info never waits for it; tried again on each Info. */
import type { AppKeys } from '../../config/app-keys.ts';
import { errorChain } from '../../errors.ts';
import { freshTlsKey } from '../../keys/tls-key.ts';
import { wipe } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import type { Backend } from '../evidence/backend.ts';
import { certify } from './issue-tls-key.ts';

export class DemoCertificate {
  readonly #keys: AppKeys;
  readonly #backend: Backend;
  #chain = '';
  #running: Promise<void> | undefined;

  constructor(keys: AppKeys, backend: Backend) {
    this.#keys = keys;
    this.#backend = backend;
  }

  /** The PEM chain, or "" until it is issued; asks for it if that is not under way. */
  get(): string {
    if (this.#chain === '') void this.issue();
    return this.#chain;
  }

  /** Issues the certificate once; a failure is logged and tried again later. */
  issue(): Promise<void> {
    if (this.#chain !== '') return Promise.resolve();
    this.#running ??= this.#issue().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #issue(): Promise<void> {
    const key = freshTlsKey();
    try {
      const chain = await certify(this.#keys, this.#backend, key, {
        subject: 'demo-cert',
        altNames: [],
        serverAuth: false,
        clientAuth: true,
        raTls: true,
        appInfo: false,
      });
      this.#chain = chain.join('\n');
    } catch (thrown) {
      ui.warn(`the demo certificate was not issued: ${errorChain(thrown)}`);
    } finally {
      wipe(key.scalar, key.pkcs8Der); // nobody ever uses this key
    }
  }
}
