/** The environment of an app: what its compose file wants, what `allowed_envs` lets through, and what comes of the rest. */
import type { AppCompose } from '../../config/app-compose.ts';
import { MAX_ENV_KEY } from '../../config/env-document.ts';
import { LOGIN_VARIABLES } from '../registry-variables.ts';
import type { Findings } from './finding.ts';
import { type ComposeVariable, SET_BY_GUEST, type VariableReport } from './variables.ts';

/** Names that change programs of the guest instead of the app. */
const STEERING = new RegExp(
  `^(${[
    'PATH|HOME|ENV|IFS|PS4|LD_.*|BASH_.*|COMPOSE_.*|NERDCTL_.*|CONTAINERD_.*|BUILDKIT_.*|BUILDX_.*',
    'DOCKER_(HOST|CONFIG|CONTEXT|TLS|TLS_VERIFY|CERT_PATH|API_VERSION|BUILDKIT|DEFAULT_PLATFORM|CONTENT_TRUST.*)',
  ].join('|')})$`,
);

export type AppVariables = Pick<AppCompose, 'allowedEnvs' | 'keyProvider' | 'preLaunchScript'>;

/** What compose refuses to fill in, whoever sets the variables. */
export function checkInterpolation({ invalid }: VariableReport, findings: Findings): void {
  for (const { place, text } of invalid) {
    const words = `${JSON.stringify(text)} is not a form in which compose names a variable`;
    findings.add('refused', 'interpolation', place, words, 'write $$ for a dollar sign');
  }
}

export function checkVariables({ variables }: VariableReport, app: AppVariables, findings: Findings): void {
  const script = app.preLaunchScript ?? '';
  for (const variable of variables) {
    const { name } = variable;
    if (SET_BY_GUEST.has(name) || app.allowedEnvs.includes(name) || mentions(script, name)) continue;
    notAllowed(variable, findings);
  }
  const used = new Set(variables.map(({ name }) => name));
  for (const [i, name] of app.allowedEnvs.entries()) {
    const where = `allowed_envs[${i}]`;
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || name.length > MAX_ENV_KEY) {
      findings.add('warning', 'env-name', where, `${JSON.stringify(name)} is not a name of an environment variable`);
    } else if (STEERING.test(name)) {
      const text = `${name} changes what programs of the guest do: whoever encrypts the environment decides about it`;
      findings.add('warning', 'env-steers', where, text, 'allow only names that the app itself reads');
    } else if (!used.has(name) && !mentions(script, name) && !LOGIN_VARIABLES.includes(name)) {
      findings.add('note', 'env-unused', where, `neither the compose file nor the pre-launch script uses ${name}`);
    }
  }
  if (app.allowedEnvs.length > 0 && app.keyProvider !== 'kms') {
    const text = `with key provider ${app.keyProvider} no encrypted environment can be opened: every variable stays empty`;
    findings.add('warning', 'env-without-kms', 'allowed_envs', text, 'use key provider kms');
  }
}

function notAllowed({ name, places, optional, required }: ComposeVariable, findings: Findings): void {
  const where = places[0] ?? 'docker_compose_file';
  const fix = `add ${name} to allowed_envs, or write its value into the compose file`;
  if (required) {
    findings.add('refused', 'env-required', where, `${name} must have a value, and allowed_envs lacks it`, fix);
  } else if (optional) {
    findings.add('note', 'env-default', where, `${name} keeps its default: allowed_envs lacks it`, fix);
  } else findings.add('warning', 'env-not-allowed', where, `${name} stays empty: allowed_envs lacks it`, fix);
}

/** Whether a script has this name as a word. */
const mentions = (script: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(script);
