/** Turns what a booting guest reports into progress lines. */
import type { HostEvent } from '../../simulator/host-event.ts';
import { parsePhase } from '../../simulator/phase-report.ts';
import type { PhaseReport } from '../../src/boot/phase.ts';
import type { ProgressView } from './progress-view.ts';

/** Phases that took less are only counted: a boot has some fifty of them. */
const SHOWN_MS = 500;

/** Follows one boot and shows it. Feed it console lines and host events. */
export class BootView {
  readonly #view: ProgressView;
  readonly #all: boolean;
  /** the last thing the guest said it does */
  #progress = 'kernel';
  #lastPhase: PhaseReport | undefined;
  #systemd = false;

  /** `all` shows short phases too */
  constructor(view: ProgressView, options: { all?: boolean } = {}) {
    this.#view = view;
    this.#all = options.all ?? false;
  }

  /** where the boot is, in words: for error reports */
  get position(): string {
    const phase = this.#lastPhase;
    const after = phase ? ` (last finished phase: ${phase.sequence} ${phase.n}/${phase.of} ${phase.name})` : '';
    return `${this.#progress}${after}`;
  }

  start(): void {
    this.#view.start('kernel and initramfs');
  }

  line(text: string): void {
    if (this.#systemd || !/^\s*Welcome to |systemd\[1\]: |^\[\s*(OK|FAILED)\s*\] /.test(text)) return;
    this.#systemd = true;
    this.#progress = 'system services';
    this.#view.finish();
    this.#view.start('system services');
  }

  event({ event, payload }: HostEvent): void {
    if (event === 'boot.phase') this.#phase(payload);
    if (event !== 'boot.progress' || payload === 'done') return;
    this.#progress = payload;
    this.#view.start(payload);
  }

  #phase(payload: string): void {
    const phase = parsePhase(payload);
    if (!phase) return;
    this.#lastPhase = phase;
    if (!this.#all && phase.ms < SHOWN_MS) return;
    const place = `${phase.sequence} ${String(phase.n).padStart(2)}/${phase.of}`;
    this.#view.note('done', `${place.padEnd(14)} ${phase.name}`, '', phase.ms);
  }
}
