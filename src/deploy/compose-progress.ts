/**
 * Reads the plain progress lines of `docker compose up` as they come (compose 2.x, no terminal): one line an object and
 * change. Made into a short text for the host, and into docker's own words for each service that failed.
 */

export type Stage = 'pull' | 'build' | 'create' | 'start' | 'health' | 'exit';

export interface Complaint {
  readonly stage: Stage;
  readonly words: string;
}

const LAYER =
  /^ ?([0-9a-f]{12}) (Pulling fs layer|Waiting|Downloading|Verifying|Download complete|Extracting|Pull complete|Already exists)/;
const IMAGE = /^ ?(\S+) (Pulling|Pulled|Error|Interrupted|Skipped)\b ?(.*)$/;
const CONTAINER =
  /^ ?Container (\S+) +(Creating|Created|Recreate|Recreated|Starting|Started|Running|Healthy|Waiting|Error)\b ?(.*)$/;
const BUILD_FAILED = /^(?:target (\S+?): )?failed to solve: (.*)$/;
const WORDS = 400;

export class ComposeProgress {
  readonly #layers = new Map<string, boolean>();
  readonly #images = new Map<string, boolean>();
  readonly #containers = new Map<string, boolean>();
  readonly #complaints = new Map<string, Complaint>();
  #building = false;
  #last = '';

  /** One complete line of output, control characters already removed. */
  feed(line: string): void {
    const layer = LAYER.exec(line);
    if (layer) {
      const done = /complete|exists/.test(layer[2]!) && layer[2] !== 'Download complete';
      this.#layers.set(layer[1]!, done || this.#layers.get(layer[1]!) === true);
      return;
    }
    const container = CONTAINER.exec(line);
    if (container) {
      const [, name = '', word = '', rest = ''] = container;
      this.#containers.set(name, ['Started', 'Running', 'Healthy'].includes(word));
      if (word === 'Error') this.#complain(name, 'start', rest);
      return;
    }
    const image = IMAGE.exec(line);
    if (image) {
      const [, service = '', word = '', rest = ''] = image;
      this.#images.set(service, word === 'Pulled' || word === 'Skipped');
      if (word === 'Error') this.#complain(service, 'pull', rest);
      return;
    }
    const build = BUILD_FAILED.exec(line);
    if (build) this.#complain(build[1] ?? '', 'build', build[2] ?? '');
    if (/^#\d+ /.test(line)) this.#building = true;
    if (line.trim() !== '') this.#last = line.trim();
  }

  #complain(subject: string, stage: Stage, words: string): void {
    this.#complaints.set(subject, { stage, words: words.trim().slice(0, WORDS) });
  }

  /** Complaints by service or container name; an empty name when docker did not say whose it is. */
  get complaints(): ReadonlyMap<string, Complaint> {
    return this.#complaints;
  }

  /** The last line that was not about progress: docker's final word when it fails. */
  get lastWords(): string {
    return this.#last.slice(0, WORDS);
  }

  /** Where it stands, for the host; empty before anything happened. @param services how many will be started */
  text(services: number): string {
    const done = (of: ReadonlyMap<string, boolean>) => [...of.values()].filter(Boolean).length;
    const parts: string[] = [];
    if (this.#images.size > 0 && done(this.#images) < this.#images.size) {
      parts.push(`images ${done(this.#images)}/${this.#images.size}`);
      if (this.#layers.size > 0) parts.push(`layers ${done(this.#layers)}/${this.#layers.size}`);
    } else if (this.#containers.size > 0) {
      parts.push(`containers ${done(this.#containers)}/${Math.max(services, this.#containers.size)}`);
    } else if (this.#building) parts.push('building images');
    return parts.join(', ');
  }
}
