/** One figure as a line of text: median, spread, budget, and the others of the same run. */
import type { Figure } from './report.ts';

export function printFigure({ name, unit, median, min, max, budget, against = [] }: Figure): void {
  const number = (value: number) => value.toFixed(value < 100 ? 2 : 0);
  const limit = budget === undefined ? '' : `budget ${budget} ${unit}`;
  console.log(
    `  ${name.padEnd(42)} ${`${number(median)} ${unit}`.padStart(16)}   ${`${number(min)} to ${number(max)}`.padEnd(22)} ${limit}`.trimEnd(),
  );
  for (const other of against) {
    console.log(
      `  ${`  against ${other.name}`.padEnd(42)} ${`${number(other.median)} ${unit}`.padStart(16)}   ours is ${other.ratio.toFixed(2)} times that`,
    );
  }
}
