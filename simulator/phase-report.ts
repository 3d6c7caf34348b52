/** What a guest tells its host about a finished phase (`boot.phase`), read by everything here that follows a boot. */
import type { PhaseReport } from '../src/boot/phase.ts';

/** Reads the payload of `boot.phase`; undefined for anything malformed. */
export function parsePhase(payload: string): PhaseReport | undefined {
  try {
    const { sequence, n, of, name, ms } = JSON.parse(payload) as Record<string, unknown>;
    if (typeof sequence !== 'string' || typeof name !== 'string') return undefined;
    if (typeof n !== 'number' || typeof of !== 'number' || typeof ms !== 'number') return undefined;
    return { sequence, n, of, name, ms };
  } catch {
    return undefined;
  }
}
