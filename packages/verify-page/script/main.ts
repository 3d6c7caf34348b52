/** The page's script: judges whenever something changed, and shows the result. Nothing leaves the browser. */
import { printable } from '../../../src/printable.ts';
import { byId } from './dom.ts';
import { complain, type Files, watchFiles } from './files.ts';
import { judge, Unusable } from './judge.ts';
import { nextSteps } from './next-steps.ts';
import { result } from './result.ts';
import { DROPPABLE } from './roles.ts';
import { spoken } from './verdict-card.ts';

let files: Files = new Map();
/** Only the latest counts, when several are under way. */
let turn = 0;

async function again(): Promise<void> {
  const mine = ++turn;
  const place = byId('result');
  const clear = (): void => {
    place.hidden = true;
    place.replaceChildren();
    delete place.dataset['verdict'];
    say('');
  };
  if (!files.has('evidence')) {
    clear();
    if (files.size > 0) say('The evidence itself is still missing.');
    return;
  }
  say('Judging…');
  try {
    const report = await judge(files, { at: textOf('at'), reportData: textOf('number') });
    if (mine !== turn) return;
    if (report.input.form === null) {
      clear();
      const why = report.checks.find(({ name }) => name === 'input')?.detail ?? 'the input cannot be read';
      return complain(`${files.get('evidence')?.name}: ${why}. ${DROPPABLE}`);
    }
    const first = place.hidden;
    place.replaceChildren(...result(report, nextSteps(report, files)));
    place.hidden = false;
    // on a phone the verdict is below what can be seen
    if (first) place.scrollIntoView({ block: 'nearest' });
    place.dataset['verdict'] = report.verdict;
    say(spoken(report));
  } catch (thrown) {
    if (mine !== turn) return;
    clear();
    complain(thrown instanceof Unusable ? thrown.message : `The page failed: ${String(thrown)}`);
  }
}

const textOf = (field: string): string => byId<HTMLInputElement>(field).value.trim();

function say(text: string): void {
  byId('said').textContent = printable(text);
}

watchFiles((now) => {
  files = now;
  void again();
});
for (const field of ['at', 'number']) {
  byId(field).addEventListener('change', () => {
    complain('');
    void again();
  });
}
