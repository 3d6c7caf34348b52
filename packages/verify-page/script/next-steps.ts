/** What is missing for more to be proven, and where it comes from. The page itself fetches nothing. */
import { h, section } from './dom.ts';
import type { Files } from './files.ts';
import type { ReportJson } from './report.ts';

export function nextSteps({ checks }: ReportJson, files: Files): HTMLElement[] {
  const open = (wanted: string): boolean =>
    checks.some(({ name, outcome }) => name === wanted && outcome === 'unknown');
  return [
    ...(open('collateral') ? [collateralStep(files.has('collateral'))] : []),
    ...(open('expect-app') ? [appStep()] : []),
  ];
}

const command = (label: string, text: string): HTMLElement => h('pre', { tabindex: '0', 'aria-label': label }, text);

/** Fetching it would tell a stranger which machine is being judged. @param given there is some, but it does not serve */
function collateralStep(given: boolean): HTMLElement {
  return section(
    'collateral-title',
    given ? 'This collateral does not serve' : 'Collateral is missing',
    h(
      'p',
      {},
      'A quote alone does not show that its machine is genuine: that takes Intel’s statements about this kind of machine, in force on the day in question. This page fetches nothing. Let the program fetch them once:',
    ),
    command(
      'Command that fetches collateral',
      'dstack-util verify EVIDENCE --collateral https://api.trustedservices.intel.com',
    ),
    h(
      'p',
      {},
      'or with the address of your cloud’s PCCS instead of Intel’s. What it fetched is kept as a JSON file under ',
      h('code', {}, '~/.cache/dstack-util/collateral'),
      ': drop that file here. It serves about 30 days; for old evidence take the collateral of its day, and that day’s time.',
    ),
  );
}

function appStep(): HTMLElement {
  return section(
    'app-title',
    'Nothing says which app you mean',
    h(
      'p',
      {},
      'A genuine machine runs anybody’s app. An expectation file says which one must run, and may name the system, the root and your own report data, too. Make it from the documents that you trust, and drop it here:',
    ),
    command('Command that makes an expectation file', 'dstack-util verify init app-compose.json'),
  );
}
