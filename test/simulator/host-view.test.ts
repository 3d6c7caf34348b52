import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostEvent } from '../../simulator/host-event.ts';
import { HostView } from '../../simulator/host-view.ts';

const record = (at: number, event: string, payload: unknown): HostEvent => ({
  sequence: 1,
  at,
  event,
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
});
const phase = (n: number, name: string, ms: number) => ({ sequence: 'setup', n, of: 10, name, ms });

describe('the view of a booting guest', () => {
  it('shows phases, progress, identity and the end', () => {
    const view = new HostView();
    expect(view.status(0)).toBe('waiting for the guest');
    const lines = [
      view.event(record(1000, 'boot.phase', phase(1, 'mount the host share', 40))),
      view.event(record(3500, 'boot.progress', 'requesting app keys')),
      view.event(record(4000, 'boot.phase', phase(5, 'get the app keys', 1200))),
      view.event(record(4100, 'instance.info', { instance_id: '', app_id: 'ab' })),
    ];
    expect(lines).toEqual([
      '+   0.0 s  phase     setup 1/10 mount the host share, 0.0 s',
      '+   2.5 s  progress  requesting app keys',
      '+   3.0 s  phase     setup 5/10 get the app keys, 1.2 s',
      '+   3.1 s  instance  app ab, instance none',
    ]);
    expect(view.status(5000)).toBe(
      '[##########----------] setup 5/10 requesting app keys, 4.0 s, slowest: get the app keys 1.2 s',
    );
    view.event(record(6000, 'boot.progress', 'done'));
    expect(view.status(6000)).toContain('[####################]');
  });

  it('shows an error, and begins again after a power-off', () => {
    const view = new HostView();
    view.event(record(0, 'boot.progress', 'setting up docker'));
    expect(view.event(record(1000, 'boot.error', 'it broke'))).toBe('+   1.0 s  ERROR     it broke');
    view.event(record(2000, 'shutdown.progress', 'powering off'));
    expect(view.event(record(9000, 'boot.progress', 'requesting app keys'))).toContain('+   0.0 s');
  });

  it('never lets a guest steer the terminal', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('boot.phase', 'boot.progress', 'boot.error', 'instance.info', 'x\u001b[2J'),
        fc.oneof(fc.string({ unit: 'binary' }), fc.json()),
        (event, payload) => {
          const view = new HostView();
          const shown = view.event(record(0, event, payload)) + view.status(1);
          expect(shown).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
        },
      ),
      { numRuns: 50 },
    );
  });
});
