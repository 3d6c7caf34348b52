/** What `deploy start` would run, in a form for people and for scripts. Nothing is started or written. */
import { createHash } from 'node:crypto';
import * as ui from '../ui.ts';
import type { RunnerPlan } from './runner.ts';
import type { DeployContext } from './steps.ts';

export interface AppPlan extends RunnerPlan {
  readonly runner: string;
  readonly dir: string;
  /** scripts with their SHA-256, in the order in which they run */
  readonly scripts: readonly { readonly name: string; readonly sha256: string; readonly bytes: number }[];
  /** SHA-256 of the compose file as it is written to the work directory */
  readonly composeSha256?: string;
  /** names only: the values are secret */
  readonly variables: readonly string[];
}

/** @throws COMPOSE_INVALID */
export async function appPlan(context: DeployContext): Promise<AppPlan> {
  const { compose, runner, dir, env } = context;
  const script = (name: string, text: string | undefined) =>
    text === undefined ? [] : [{ name, sha256: sha256(text), bytes: Buffer.byteLength(text) }];
  return {
    runner: runner.name,
    dir,
    scripts: [
      ...(compose.hasPreLaunch ? script('pre_launch_script', compose.preLaunchScript ?? '') : []),
      ...(runner.name === 'bash' ? script('bash_script', compose.bashScript) : []),
    ],
    ...(compose.dockerComposeFile === undefined || runner.name === 'bash'
      ? {}
      : { composeSha256: sha256(`${compose.dockerComposeFile}\n`) }),
    variables: [...env.keys()].toSorted(),
    ...(await runner.plan(context)),
  };
}

export function appPlanText(plan: AppPlan): string {
  const lines = [`runner ${plan.runner} in ${plan.dir}`];
  for (const { name, sha256: digest, bytes } of plan.scripts)
    lines.push(`script ${name}, ${bytes} bytes, sha256 ${digest}`);
  if (plan.composeSha256 !== undefined) lines.push(`compose file, sha256 ${plan.composeSha256}`);
  for (const { service, image, built } of plan.services)
    lines.push(`service ${service}: ${built ? `built${image === '' ? '' : ` as ${image}`}` : image}`);
  lines.push(`variables: ${plan.variables.join(' ') || 'none'}`);
  for (const { service, image, fix } of plan.loose)
    lines.push(`not pinned by the measurement: image ${image} of service ${service}`, `  -> ${fix}`);
  return lines.map(ui.printable).join('\n');
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
