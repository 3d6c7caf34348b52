import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addRival, inTurns } from '../../bench/against.ts';
import { fillPage, median, note, type Report, reportTables, writeReport } from '../../bench/report.ts';

const dir = mkdtempSync(join(tmpdir(), 'bench-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('a report', () => {
  it('has median, spread and the ratio to each other implementation', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([1, 2, 3, 10])).toBe(2.5);
    const figure = note(
      { bench: 'cli', name: 'start', unit: 'ms', budget: 12 },
      [8, 6, 10],
      new Map([['old', [16, 15, 40]]]),
    );
    expect(figure).toEqual({
      bench: 'cli',
      name: 'start',
      unit: 'ms',
      median: 8,
      min: 6,
      max: 10,
      runs: 3,
      budget: 12,
      against: [{ name: 'old', median: 16, ratio: 0.5 }],
    });
  });

  it('is kept as JSON with the machine, and a later run replaces only what it measured', () => {
    const file = join(dir, 'results.json');
    const first = writeReport(file);
    expect(first.machine).toMatch(/^\d+ x .+ GiB, Linux .+, load \d/);
    const other: Report = {
      ...first,
      figures: [
        { ...first.figures[0]!, bench: 'disk' },
        { ...first.figures[0]!, median: 99 },
      ],
    };
    rmSync(file);
    writeReport(file);
    const merged = JSON.parse(readFileSync(file, 'utf8')) as Report;
    expect(merged.figures).toHaveLength(1);
    expect(reportTables(other)).toContain('### disk');
  });

  it('becomes tables between the marks of the page', () => {
    const report = writeReport(join(dir, 'results.json'));
    const page = fillPage(readFileSync('docs/performance.md', 'utf8'), reportTables(report));
    expect(page).toContain('| start | 8.00 ms | 6.00 to 10.0 | 3 | 12.0 ms |');
    expect(page).toContain('| start: old | 16.0 | ratio 0.50 | | |');
    expect(fillPage(page, 'x')).not.toContain('| start |');
    expect(() => fillPage('no marks', 'x')).toThrow(/no marks/);
  });

  it('is what docs/performance.md shows', () => {
    const report = JSON.parse(readFileSync('bench/results.json', 'utf8')) as Report;
    expect(readFileSync('docs/performance.md', 'utf8')).toContain(reportTables(report));
  });
});

describe('--against', () => {
  it('takes commands and sockets, several times', async () => {
    const path = join(dir, 's.sock');
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once('listening', resolve));
    expect(addRival(`sock=${path}`, addRival('old=/opt/old/dstack-util --quiet', []))).toEqual([
      { name: 'old', command: ['/opt/old/dstack-util', '--quiet'] },
      { name: 'sock', socket: path },
    ]);
    server.close();
    expect(() => addRival('nameless', [])).toThrow(/NAME=COMMAND/);
  });

  it('lets all take turns, in turned order', async () => {
    const order: string[] = [];
    const run = (name: string) => [name, async () => order.push(name)] as const;
    await inTurns(new Map([run('a'), run('b')]), 3);
    expect(order).toEqual(['a', 'b', 'b', 'a', 'a', 'b']);
  });
});
