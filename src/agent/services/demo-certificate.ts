/** The demo certificate of Info: issued in the background, so that Info never waits for it; tried again on each Info. */
import { errorChain } from '../../errors.ts';
import { freshTlsKey } from '../../keys/tls-key.ts';
import { wipe } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import { type Certifier, certify } from './issue-tls-key.ts';

export class DemoCertificate {
  readonly #certifier: Certifier;
  #chain = '';
  #running: Promise<void> | undefined;

  constructor(certifier: Certifier) {
    this.#certifier = certifier;
  }

  /** The PEM chain if it is there; asks for nothing. */
  get issued(): string | undefined {
    return this.#chain || undefined;
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
      const chain = await certify(this.#certifier, key, {
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
