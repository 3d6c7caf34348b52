/**
 * The login to a private registry, from the encrypted environment and before anything is pulled.
 *
 * dockerd itself is asked to try the credentials (`POST /auth`, what `docker login` calls as well), so that name and
 * password are in no argument list. They are then written where docker, compose and nerdctl look for them: `config.json` in
 * a folder of its own on a memory file system, which only root may enter, named by DOCKER_CONFIG. It is there for the
 * pre-launch script and the pull, and removed when the start ends: a container that is started again needs no registry.
 */
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { ifExists, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { bodyText, dockerMessage, dockerRequest } from './docker-api.ts';
import { LOGIN_PASSWORD, LOGIN_REGISTRY, LOGIN_USERNAME } from './registry-variables.ts';
import type { Environment } from './scripts.ts';

/** What docker calls Docker Hub in its configuration, and the names by which people call it. */
export const HUB = 'https://index.docker.io/v1/';
const HUB_NAMES = [
  '',
  'docker.io',
  'index.docker.io',
  'index.docker.io/v1',
  'registry-1.docker.io',
  'registry.hub.docker.com',
];
const HOST =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i;
/** dockerd tries for itself and gives up before that. */
const TIMEOUT_MS = 90_000;
const WORDS = 300;

export interface RegistryLogin {
  /** key of docker's configuration: host and port, or the address of Docker Hub */
  readonly server: string;
  /** for people: `docker.io`, `ghcr.io` */
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

/**
 * The login that an environment asks for; undefined without one. Empty variables count as not set.
 * @throws REGISTRY_INVALID when the registry is not a host; its value is in no message, because it may be a password that
 * was sent under the wrong name
 */
export function registryLogin(env: Environment): RegistryLogin | undefined {
  const [username = '', password = ''] = [env.get(LOGIN_USERNAME), env.get(LOGIN_PASSWORD)];
  if (username === '' || password === '') {
    const lonely = username !== '' ? LOGIN_USERNAME : password !== '' ? LOGIN_PASSWORD : undefined;
    if (lonely !== undefined) ui.warn(`${lonely} is set alone: there is no login to a registry`);
    return undefined;
  }
  if (username.includes(':')) {
    const message = `${LOGIN_USERNAME} has a colon, which separates name and password`;
    throw new DstackError('REGISTRY_INVALID', message, { field: LOGIN_USERNAME });
  }
  const name = (env.get(LOGIN_REGISTRY) ?? '')
    .trim()
    .replace(/^https:\/\//i, '')
    .replace(/\/+$/, '');
  if (HUB_NAMES.includes(name.toLowerCase())) return { server: HUB, host: 'docker.io', username, password };
  if (!HOST.test(name)) {
    throw new DstackError('REGISTRY_INVALID', `${LOGIN_REGISTRY} is not a registry host`, { field: LOGIN_REGISTRY });
  }
  return { server: name, host: name, username, password };
}

/**
 * Has dockerd try a login.
 * @throws REGISTRY_LOGIN_REFUSED, REGISTRY_UNREACHABLE, DOCKER_UNAVAILABLE
 */
export async function tryLogin(login: RegistryLogin, socketPath?: string): Promise<void> {
  const { server, host, username, password } = login;
  const body = { username, password, serveraddress: server };
  const response = await dockerRequest('POST', '/auth', socketPath, undefined, body, TIMEOUT_MS);
  const text = await bodyText(response);
  if (response.statusCode === 200 || response.statusCode === 204) return;
  const said = withoutSecrets(dockerMessage(text), login);
  const refused = response.statusCode === 401 || /unauthorized|denied|forbidden|incorrect username/i.test(said);
  throw refused
    ? new DstackError('REGISTRY_LOGIN_REFUSED', `registry ${host} refused the login: ${said}`, {
        field: LOGIN_PASSWORD,
      })
    : new DstackError('REGISTRY_UNREACHABLE', `registry ${host} cannot be reached: ${said}`, { field: LOGIN_REGISTRY });
}

/** A registry gets the credentials, so its words may hold them, in one of the forms in which they travel. */
export function withoutSecrets(text: string, login: RegistryLogin): string {
  const { username } = login;
  const hidden = withoutPassword(text, login);
  // a name of one or two letters would be found in every word
  const out = username.length > 2 ? hide(hidden, formsOf(username)) : hidden;
  return ui.printable(out.length > WORDS ? `${out.slice(0, WORDS)}…` : out);
}

/** The same for longer texts, in which the user name may be the name of a service. */
export const withoutPassword = (text: string, { username, password }: RegistryLogin): string =>
  hide(text, [...formsOf(`${username}:${password}`), ...formsOf(password)]);

const formsOf = (secret: string): string[] => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
  ...base64Forms(secret),
];

function hide(text: string, forms: readonly string[]): string {
  let out = text;
  for (const form of [...new Set(forms)].toSorted((a, b) => b.length - a.length))
    if (form !== '') out = out.replaceAll(form, '***');
  return out;
}

const base64Forms = (text: string): string[] => {
  const plain = Buffer.from(text).toString('base64');
  const url = Buffer.from(text).toString('base64url');
  return [plain, plain.replace(/=+$/, ''), url];
};

/** Writes docker's configuration with this one login. @returns the environment with DOCKER_CONFIG */
export async function keepLogin(login: RegistryLogin, dir: string, env: Environment): Promise<Environment> {
  if (!isDryRun()) {
    await forgetLogin(dir);
    await mkdir(dir, { mode: 0o700, recursive: true });
  }
  const auth = Buffer.from(`${login.username}:${login.password}`).toString('base64');
  await writeAtomic(join(dir, CONFIG), `${JSON.stringify({ auths: { [login.server]: { auth } } })}\n`, 0o600);
  return new Map([...env, ['DOCKER_CONFIG', dir]]);
}

const CONFIG = 'config.json';

/** Overwrites and removes what `keepLogin` wrote; nothing to do without it. */
export async function forgetLogin(dir: string): Promise<void> {
  if (isDryRun()) return;
  await ifExists(async () => {
    const handle = await open(join(dir, CONFIG), 'r+');
    try {
      const { size } = await handle.stat();
      await handle.write(new Uint8Array(size), 0, size, 0);
    } finally {
      await handle.close();
    }
  });
  await rm(dir, { recursive: true, force: true });
}
