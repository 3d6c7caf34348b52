/** A folder and a shell in which the commands of a page run as they are written. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface Ran {
  readonly status: number;
  /** both streams, as a terminal shows them */
  readonly text: string;
}

export interface PageShell {
  /** where the commands run */
  readonly dir: string;
  run(script: string): Promise<Ran>;
}

/**
 * Puts the programs from their sources in front of everything else. Variables live on from one call to the next. `verify` and
 * `verify init` are given the simulator's root and collateral where a page uses Intel's, since no machine here has Intel's.
 * @param words replaced in the commands: `KEY` of a page by a real name
 */
export function pageShell(root: string, words: Readonly<Record<string, string>> = {}): PageShell {
  const bin = join(root, 'bin');
  const dir = join(root, 'work');
  for (const folder of [bin, dir]) mkdirSync(folder, { recursive: true });
  const bun = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
  const program = (name: string, entry: string, before = '') => {
    writeFileSync(join(bin, name), `#!/bin/bash\n${before}exec '${bun}' '${resolve(entry)}' "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program('dstack-sim', 'simulator/dstack-sim.ts');
  program(
    'dstack-util',
    'bin/dstack-util.ts',
    `if [ "\${1-}" = verify ]; then
  args=(); own=no
  while [ $# -gt 0 ]; do
    case $1 in
      --root-ca) own=yes; args+=("$1" "$2"); shift ;;
      --collateral) case $2 in https:*) ;; *) args+=("$1" "$2") ;; esac; shift ;;
      *) args+=("$1") ;;
    esac
    shift
  done
  set -- "\${args[@]}"
  [ $own = yes ] || set -- "$@" --root-ca '${root}/sim-root.pem'
  [ "$2" = init ] || [[ " $* " == *" --collateral "* ]] || set -- "$@" --collateral '${root}/collateral.json'
fi
`,
  );
  const vars = join(root, 'vars');
  return {
    dir,
    run: (script) =>
      new Promise((done) => {
        let text = script;
        for (const [word, value] of Object.entries(words)) text = text.replaceAll(word, value);
        const around = `if [ -f '${vars}' ]; then . '${vars}'; fi
trap 'names=$(compgen -v | grep "^[a-z]" | grep -v "^names$" || :); [ -z "$names" ] || declare -p $names >"${vars}"' EXIT
set -eu -o pipefail
${text}
`;
        const env = { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: root, NO_COLOR: '1' };
        let seen = '';
        // one pipe for both streams would be truer, but needs a terminal; what is judged here uses one of them
        const child = execFile('bash', ['-c', around], { cwd: dir, env, timeout: 120_000 }, (failure) => {
          const status = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : 1;
          done({ status, text: seen });
        });
        for (const stream of [child.stdout, child.stderr])
          stream?.on('data', (chunk) => {
            seen += String(chunk);
          });
      }),
  };
}
