/** From a compose file to an app-compose.json with everything that the compose file says already. */
import { basename, dirname, resolve } from 'node:path';
import { APP_COMPOSE_LIMIT, type AppCompose, parseAppCompose } from '../../config/app-compose.ts';
import { DstackError } from '../../errors.ts';
import { readLimited, utf8 } from '../../sys/files.ts';
import { parseCompose } from '../compose-file.ts';
import { LOGIN_VARIABLES } from '../registry-variables.ts';
import { checkAppDocument } from './check-document.ts';
import { type AppFinding, Findings, sortFindings } from './finding.ts';
import { type AppImage, appImages, pinImages, suggestDigests } from './images.ts';
import { type AppOptions, appComposeText } from './make-app.ts';
import { composeVariables, SET_BY_GUEST } from './variables.ts';

export interface InitOptions extends Omit<AppOptions, 'name' | 'composeText' | 'allowedEnvs'> {
  /** default: `name` of the compose file, else the name of its folder */
  readonly name?: string;
  /** further names for allowed_envs */
  readonly allowEnvs?: readonly string[];
  /** allow the variables of a registry login */
  readonly registryLogin?: boolean;
  /** write the digests that the docker of this machine knows into the compose file */
  readonly pin?: boolean;
  /** ask the docker of this machine at all */
  readonly suggest?: boolean;
}

export interface InitResult {
  readonly text: string;
  readonly app: AppCompose;
  readonly images: readonly AppImage[];
  /** services whose image got its digest */
  readonly pinned: readonly string[];
  readonly findings: readonly AppFinding[];
}

/**
 * @param path the compose file
 * @throws COMPOSE_INVALID, FILE_NOT_FOUND and other errors of reading it; what only a boot would refuse is a finding
 */
export async function initApp(path: string, options: InitOptions): Promise<InitResult> {
  const written = utf8(await readLimited(path, APP_COMPOSE_LIMIT), path);
  const { suggest = true, pin = false, allowEnvs = [], registryLogin = false, name, ...rest } = options;
  const found = appImages(await parseCompose(written, path));
  const images = suggest ? await suggestDigests(found) : found;
  const { text: composeText, pinned } = pin ? await pinImages(written, images) : { text: written, pinned: [] };
  const source = await parseCompose(composeText, path);
  const names = [
    ...composeVariables(source)
      .variables.map((variable) => variable.name)
      .filter((variable) => !SET_BY_GUEST.has(variable)),
    ...(registryLogin ? LOGIN_VARIABLES : []),
    ...allowEnvs,
  ];
  const text = appComposeText({
    ...rest,
    name: name ?? (source.name || basename(dirname(resolve(path)))),
    composeText,
    allowedEnvs: [...new Set(names)],
  });
  const raw = new TextEncoder().encode(text);
  if (raw.length > APP_COMPOSE_LIMIT) {
    const message = `the app has ${raw.length} bytes, at most ${APP_COMPOSE_LIMIT} are read`;
    throw new DstackError('FILE_TOO_LARGE', message, { path, value: raw.length });
  }
  const findings = new Findings();
  await checkAppDocument(raw, path, findings, { suggest });
  return { text, app: parseAppCompose(raw, path), images, pinned, findings: sortFindings(findings.list) };
}
