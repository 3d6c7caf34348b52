import { describe, expect, it } from 'vitest';
import { BootView } from '../../initramfs/vm/boot-view.ts';
import { ProgressView } from '../../initramfs/vm/progress-view.ts';
import { parsePhase } from '../../simulator/phase-report.ts';

function make(isTTY: boolean, columns = 80) {
  const state = { text: '', time: 0 };
  const out = {
    isTTY,
    columns,
    write: (text: string) => {
      state.text += text;
    },
  };
  return { state, view: new ProgressView({ out, colour: false, now: () => state.time }) };
}

describe('ProgressView without a terminal', () => {
  it('prints finished steps only, and announces a long one once', () => {
    const { state, view } = make(false);
    view.start('short');
    state.time = 100;
    view.finish('fine');
    view.start('long', 'packages');
    state.time = 3200;
    view.tick();
    view.tick();
    state.time = 65_100;
    view.finish();
    expect(state.text.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      ' ✓ short 100 ms fine',
      ' … long: packages',
      ' ✓ long 1 min 05 s',
      '',
    ]);
  });
});

describe('ProgressView on a terminal', () => {
  it('redraws one line, keeps it within the width and leaves the finished one', () => {
    const { state, view } = make(true, 40);
    view.start('step', 'a detail that is much longer than the terminal is wide');
    const drawn = state.text.split('\r\u001b[K').at(-1) ?? '';
    expect(drawn.length).toBeLessThan(40);
    view.note('done', 'between');
    expect(state.text).toMatch(/\r\u001b\[K {2}✓ between\n\r\u001b\[K {2}… step/);
    view.finish();
    expect(state.text.endsWith('\n')).toBe(true);
  });
});

describe('BootView', () => {
  const event = (name: string, payload: string) => ({ sequence: 1, at: 0, event: name, payload });
  const phase = (n: number, name: string, ms: number) =>
    event('boot.phase', JSON.stringify({ sequence: 'setup', n, of: 20, name, ms }));

  it('shows slow phases and what the guest says it does, and knows where it is', () => {
    const { state, view } = make(false);
    const boot = new BootView(view);
    boot.start();
    boot.line('[    0.1] Linux version 6.12');
    state.time = 5000;
    boot.line('Welcome to Debian GNU/Linux 13 (trixie)!');
    boot.event(event('boot.progress', 'requesting app keys'));
    boot.event(phase(1, 'read the share', 20));
    boot.event(phase(2, 'open the disk', 4321));
    expect(state.text).toContain('✓ kernel and initramfs');
    expect(state.text).toContain('setup  2/20    open the disk');
    expect(state.text).not.toContain('read the share');
    expect(boot.position).toBe('requesting app keys (last finished phase: setup 2/20 open the disk)');
  });

  it.each(['', '{}', '[]', '{"sequence":"a","n":1,"of":2,"name":3,"ms":4}'])(
    'ignores the malformed phase %j',
    (text) => {
      expect(parsePhase(text)).toBeUndefined();
    },
  );
});
