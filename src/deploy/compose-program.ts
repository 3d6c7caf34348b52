/** What the runners of a compose file share: docker and nerdctl are called in the same way. */
import { run } from '../sys/exec.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { COMPOSE_FILE, type ComposeService } from './compose-file.ts';
import { looseImages } from './image-references.ts';
import type { RunnerContext, RunnerPlan } from './runner.ts';

/** Pulling and building take as long as they take: the service manager has the limit, if any. */
const NO_LIMIT = 0;
/** The app's own grace periods count; this is for a program that hangs, and ends before the service manager's limit. */
const STOP_TIMEOUT_MS = 110_000;

export interface ComposeProgramOptions {
  /** limit in milliseconds, default none */
  readonly timeoutMs?: number;
  /** the program only looks: its lines are not logged */
  readonly quiet?: boolean;
  /** is told every line, which is logged as well */
  readonly onLine?: (line: string) => void;
}

/** Runs the program in the work directory, with the environment of the app. @throws as `run` */
export const composeProgram = (
  program: 'docker' | 'nerdctl',
  { dir, env, redact }: RunnerContext,
  args: readonly string[],
  { timeoutMs = NO_LIMIT, quiet = false, onLine }: ComposeProgramOptions = {},
) =>
  run(program, args, {
    cwd: dir,
    env: Object.fromEntries(env),
    timeoutMs,
    readOnly: quiet,
    ...(redact === undefined ? {} : { redact }),
    ...(quiet
      ? {}
      : {
          onLine: (line: string) => {
            ui.info(`${program}: ${line}`);
            onLine?.(line);
          },
        }),
  });

/** Stops the project with `compose stop`, which stops dependents before what they depend on. Nothing to do without a file. */
export async function stopProject(
  { dir }: RunnerContext,
  program: (args: readonly string[], options: ComposeProgramOptions) => Promise<unknown>,
): Promise<void> {
  if (!(await exists(`${dir}/${COMPOSE_FILE}`))) return;
  await program(['compose', '-f', COMPOSE_FILE, 'stop'], { timeoutMs: STOP_TIMEOUT_MS });
}

/** What would run: the services, and those of their images that the measurement does not pin. */
export const servicesPlan = (services: readonly ComposeService[]): RunnerPlan => ({
  services: services.map(({ name, image, built }) => ({ service: name, image, built })),
  loose: looseImages({ project: '', services }),
});
