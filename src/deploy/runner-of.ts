/** The runners by the name that app-compose.json gives them. Each is loaded when an app asks for it. */
import type { AppCompose } from '../config/app-compose.ts';
import { DstackError } from '../errors.ts';
import type { Runner } from './runner.ts';

/** The runner of an app. @throws RUNNER_UNSUPPORTED */
export async function runnerOf({ runner }: Pick<AppCompose, 'runner'>): Promise<Runner> {
  if (runner === 'docker-compose') return (await import('./docker-compose.ts')).dockerCompose;
  if (runner === 'nerdctl-compose') return (await import('./nerdctl-compose.ts')).nerdctlCompose;
  if (runner === 'bash') return (await import('./bash.ts')).bash;
  throw new DstackError('RUNNER_UNSUPPORTED', `runner ${runner} is unknown`, { field: 'runner', value: runner });
}
