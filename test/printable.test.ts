/**
 * Text that others write, wherever it comes out: terminal, journal, page, log of a container. Every control and format
 * character there is, in every place; and that the journal never gets a line that we did not write.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatFrame } from '../src/agent/figures/logs.ts';
import { escapeHtml } from '../src/agent/page/html.ts';
import { describeFailure } from '../src/boot/run-sequence.ts';
import { timelineSvg, timelineText } from '../src/boot/timeline-chart.ts';
import { DstackError } from '../src/errors.ts';
import * as ui from '../src/ui.ts';

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const CODES = [
  ...range(0x00, 0x1f),
  ...range(0x7f, 0x9f),
  0xad, // soft hyphen
  0x61c,
  0x200b,
  0x200e,
  0x200f,
  ...range(0x2028, 0x202e),
  ...range(0x2060, 0x2069),
  0xfeff,
  ...range(0xfff9, 0xfffb),
  ...range(0xe0020, 0xe007f), // tags: text that nobody sees
  0xd800,
  0xdfff,
];
const HOSTILE = CODES.map((code) => String.fromCodePoint(code));
/** Anything of this on a terminal does something other than show itself. */
const ACTS = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

const sequences = fc.constantFrom(
  '\u001b[31m',
  '\u001b[\u001b[31m31m',
  '\u001b\u001b[2J',
  '\u009b2J',
  '\u001b]0;title\u0007',
  '\u001b]8;;http://x\u001b\\',
  '\u001b]0;never ended',
  '\u001bP1;2|x\u001b\\',
  '\u001b_x\u009c',
  '\u009d0;x\u009c',
  '\u001b[38;2;1;2;3m',
  '\u001b[1;2;3',
  '\u001b(B',
  '\u001bc',
  '\b\b\b\b',
  '\r',
  '\n<3>error [LUKS_KEY_WRONG]: forged',
  '\u2028error: forged',
  '\u202eesrever',
);
const text = fc
  .array(fc.oneof(fc.constantFrom(...HOSTILE), sequences, fc.string({ unit: 'binary', maxLength: 8 })), {
    maxLength: 30,
  })
  .map((parts) => parts.join(''));

describe('foreign text', () => {
  it.each(CODES.map((code) => [`U+${code.toString(16).padStart(4, '0')}`, code] as const))(
    '%s is seen and does nothing',
    (_, code) => {
      const character = String.fromCodePoint(code);
      const line = ui.printable(`a${character}b`);
      expect(line).not.toMatch(ACTS);
      expect(line.startsWith('a') && line.endsWith('b') && line.length > 2).toBe(true);
      const kept = code === 0x0a || code === 0x09 ? character : line.slice(1, -1);
      expect(ui.printableLines(`a${character}b`)).toBe(`a${kept}b`);
    },
  );

  it('is one line, however it is made', () => {
    fc.assert(
      fc.property(text, (foreign) => {
        expect(ui.printable(foreign)).not.toMatch(ACTS);
      }),
    );
  });
  it('of several lines keeps line feeds and tabs, and nothing else', () => {
    fc.assert(
      fc.property(text, (foreign) => {
        expect(ui.printableLines(foreign).replace(/[\n\t]/g, '')).not.toMatch(ACTS);
      }),
    );
  });
  it('is left alone where it does no harm', () => {
    for (const fine of ['grüße 🔑', 'مرحبا', 'नमस्ते', '👩‍🚀', 'a\\x1b', '日本語'])
      expect([ui.printable(fine), ui.printableLines(fine), ui.withoutSequences(fine)]).toEqual([fine, fine, fine]);
  });

  it('loses its control sequences whole, and nothing that is left of one does anything', () => {
    expect(
      ui.withoutSequences(
        'a\u001b[1;31mb\u001b]0;title\u0007c\u001b]8;;x\u001b\\d\u001bMe [0m\u009b1mf\u001bP1|q\u001b\\g',
      ),
    ).toBe('abcde [0mfg');
    expect(ui.withoutSequences('\u001b[\u001b[31m31mx')).toBe('31mx');
    fc.assert(
      fc.property(text, (foreign) => {
        expect(ui.withoutSequences(foreign).replace(/[\n\t]/g, '')).not.toMatch(ACTS);
      }),
    );
  });
  it('loses them in linear time', () => {
    for (const unit of ['\u001b]', '\u009d', '\u001b[', '\u009b', '\u001bP', '\u001b', '\u001b[0;', '\u001b '])
      expect(ui.withoutSequences(unit.repeat(200_000)).length).toBeLessThan(1_000_000);
  });

  it('from bytes: C1 in UTF-8 and raw, overlong ESC, cut anywhere', () => {
    const bytes = fc.array(
      fc.constantFrom(
        [0x1b, 0x5b, 0x33, 0x31, 0x6d],
        [0xc2, 0x9b, 0x32, 0x4a],
        [0x9b, 0x32, 0x4a],
        [0xc0, 0x9b],
        [0xe0, 0x80, 0x9b],
        [0xe2, 0x80, 0xae],
        [0x80],
        [0x0d],
        [0x61],
      ),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(bytes, fc.nat({ max: 60 }), (parts, cut) => {
        const all = Buffer.from(parts.flat());
        const query = { text: true, bare: true, ansi: false };
        const shown = [all.subarray(0, cut), all.subarray(cut)].map((message) =>
          Buffer.from(formatFrame({ channel: 'stdout', message }, query)).toString('utf8'),
        );
        expect(shown.join('').replace(/[\n\t]/g, '')).not.toMatch(ACTS);
      }),
    );
  });

  it('in JSON has the same value, and does nothing on a terminal', () => {
    fc.assert(
      fc.property(text, (foreign) => {
        const json = ui.json({ [foreign]: [foreign] });
        expect(json.replace(/\n/g, '')).not.toMatch(ACTS);
        expect(JSON.parse(json)).toEqual({ [foreign]: [foreign] });
        expect(ui.printableJson(JSON.stringify(foreign))).not.toMatch(ACTS);
      }),
    );
  });
  it('on the page and in the picture of a boot does nothing either', () => {
    const record = (phase: string) => ({
      sequence: phase,
      phase,
      n: 1,
      of: 1,
      start: '2026-01-01T00:00:00.000Z',
      durationMs: 5,
      outcome: 'failed' as const,
      events: [{ name: phase, digest: phase }],
      error: phase,
    });
    fc.assert(
      fc.property(text, (foreign) => {
        expect(escapeHtml(foreign).replace(/[\n\t]/g, '')).not.toMatch(ACTS);
        expect(timelineSvg([record(foreign)]).replace(/[\n\t]/g, '')).not.toMatch(ACTS);
        const chart = timelineText([record(foreign)], { columns: 100 });
        expect(chart.split('\n')).toHaveLength(5);
        expect(chart.replace(/\n/g, '')).not.toMatch(ACTS);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a line of the journal', () => {
  let written: string[] = [];
  beforeEach(() => {
    written = [];
    vi.spyOn(process.stderr, 'write').mockImplementation((out) => written.push(String(out)) > 0);
    vi.spyOn(process.stdout, 'write').mockImplementation((out) => written.push(String(out)) > 0);
    vi.stubEnv('JOURNAL_STREAM', '8:1');
    vi.stubEnv('DSTACK_LOG', 'debug');
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });

  it('never splits', () => {
    fc.assert(
      fc.property(text, (foreign) => {
        written = [];
        ui.info(`container ${foreign} is left alone`);
        const out = written.join('');
        expect(out).toMatch(/^<6>container [^\n]* is left alone\n$/);
        expect(out.slice(0, -1)).not.toMatch(ACTS);
      }),
    );
  });
  it('of several lines has as many as were given', () => {
    ui.warn(['a\nb', 'c']);
    expect(written.join('')).toBe('<4>a\\nb\n<4>c\n');
  });
  it('of an error cannot be taken for another error', () => {
    fc.assert(
      fc.property(text, (foreign) => {
        written = [];
        const details = { path: foreign, field: foreign, value: foreign, cause: new Error(foreign) };
        ui.reportFailure(new DstackError('COMMAND_FAILED', `docker: ${foreign}`, details));
        const lines = written.join('').slice(0, -1).split('\n');
        expect(lines.filter((line) => /^<3>error \[/.test(line))).toHaveLength(1);
        for (const line of lines)
          expect(line).toMatch(/^<3>(?:error \[| {2}caused by: | {2}where: | {2}hint: | {4}\| )/);
        expect(lines.join('')).not.toMatch(ACTS);
        expect(describeFailure(new DstackError('COMMAND_FAILED', foreign, details))).not.toMatch(ACTS);
      }),
    );
  });
  it('is JSON on stdout as one document', () => {
    ui.reportFailure(new DstackError('INPUT_INVALID', 'a\u202e\u009b2Jb\nc'), { json: true });
    expect(written[0]).not.toMatch(/[\u202e\u009b]/);
    expect(JSON.parse(written[0] ?? '').error.message).toBe('a\u202e\u009b2Jb\nc');
  });
  it('is a line of a result too', () => {
    ui.result(undefined, { text: () => ['service a\nservice b', 'c\u202e'] });
    ui.result(undefined, { text: () => 'one\ntwo\u001b[2J' });
    expect(written.join('')).toBe('service a\\nservice b\nc\\u202e\none\ntwo\\x1b[2J\n');
  });
});
