/** What a guest reports, for a person: one line an event, and on a terminal a status line that moves with the boot. */
import type { PhaseReport } from '../src/boot/phase.ts';
import { printable } from '../src/ui.ts';
import type { HostEvent } from './host-event.ts';
import { parsePhase } from './phase-report.ts';

const BAR = 20;

/** `0.4 s`, `12.0 s` */
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function parseInstance(payload: string): string {
  try {
    const { app_id, instance_id } = JSON.parse(payload) as Record<string, unknown>;
    return `app ${app_id}, instance ${instance_id || 'none'}`;
  } catch {
    return payload;
  }
}

/** Follows the boots of one VM; a boot begins with the first event, and another one after a power-off. */
export class HostView {
  #began: number | undefined;
  #phase: PhaseReport | undefined;
  #slowest: PhaseReport | undefined;
  #doing = 'waiting for the guest';
  #ended: 'done' | 'failed' | 'off' | undefined;

  /** The line for an event. */
  event({ event, payload, at }: HostEvent): string {
    if (this.#began === undefined || this.#ended === 'off') this.#reset(at);
    const time = `+${seconds(at - (this.#began ?? at)).padStart(8)}`;
    return `${time}  ${printable(this.#take(event, payload))}`;
  }

  /** Where the boot is, in one line. */
  status(now: number): string {
    if (this.#began === undefined) return this.#doing;
    const part = this.#phase === undefined ? 0 : this.#phase.n / this.#phase.of;
    const full = this.#ended === 'done' ? BAR : Math.round(part * BAR);
    const bar = `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}]`;
    const place = this.#phase === undefined ? '' : ` ${this.#phase.sequence} ${this.#phase.n}/${this.#phase.of}`;
    const slow = this.#slowest === undefined ? '' : `, slowest: ${this.#slowest.name} ${seconds(this.#slowest.ms)}`;
    return printable(`${bar}${place} ${this.#doing}, ${seconds(now - this.#began)}${slow}`);
  }

  #reset(at: number): void {
    this.#began = at;
    this.#phase = undefined;
    this.#slowest = undefined;
    this.#ended = undefined;
  }

  #take(event: string, payload: string): string {
    switch (event) {
      case 'boot.phase': {
        const phase = parsePhase(payload);
        if (phase === undefined) return `boot.phase  ${payload}`;
        this.#phase = phase;
        if (phase.ms > (this.#slowest?.ms ?? -1)) this.#slowest = phase;
        return `phase     ${phase.sequence} ${phase.n}/${phase.of} ${phase.name}, ${seconds(phase.ms)}`;
      }
      case 'boot.progress':
        this.#doing = payload;
        if (payload === 'done') this.#ended = 'done';
        return `progress  ${payload}`;
      case 'boot.error':
        this.#doing = 'failed';
        this.#ended = 'failed';
        return `ERROR     ${payload}`;
      case 'instance.info':
        return `instance  ${parseInstance(payload)}`;
      case 'shutdown.progress':
        this.#doing = payload;
        if (payload === 'powering off') this.#ended = 'off';
        return `shutdown  ${payload}`;
      default:
        return `${event}  ${payload}`;
    }
  }
}

/** Writes the lines, and on a terminal keeps the status below them. */
export function showEvents(
  out: NodeJS.WriteStream,
  view = new HostView(),
): { event(record: HostEvent): void; end(): void } {
  const terminal = out.isTTY === true;
  const status = () => terminal && out.write(`\r\u001b[K${view.status(Date.now()).slice(0, (out.columns ?? 80) - 1)}`);
  const timer = terminal ? setInterval(status, 500) : undefined;
  timer?.unref();
  status();
  return {
    event(record) {
      out.write(`${terminal ? '\r\u001b[K' : ''}${view.event(record)}\n`);
      status();
    },
    end() {
      clearInterval(timer);
      if (terminal) out.write('\n');
    },
  };
}
