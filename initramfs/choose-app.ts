/** Which app `npm start` boots: the demo, an app-compose.json, or one that is made here from a compose file. */
import { checkFeatureGates, parseAppCompose, readsComposeFile } from '../src/config/app-compose.ts';
import { readAppCompose } from '../src/config/read-app-compose.ts';
import { loadAppCheck, loadAppInit, loadAppPorts, loadComposeFile } from '../src/deploy/deploy.ts';
import { DstackError } from '../src/errors.ts';
import { DEMO_PORT, demoAppComposeText } from './demo/app-compose.ts';
import type { StartOptions } from './start-options.ts';
import { defaultAppId } from './vm/share.ts';

export interface ChosenApp {
  /** app-compose.json as it is measured */
  readonly document: string;
  /** name of its folder: each app finds its own data disk again */
  readonly name: string;
  readonly demo: boolean;
  /** ports of the guest that it publishes */
  readonly ports: readonly number[];
}

type Choice = Pick<StartOptions, 'appCompose' | 'compose' | 'name' | 'storage' | 'provider' | 'gateway'>;

/** More published ports than this are left to --ports. */
const MAX_PORTS = 16;

/**
 * @param say gets what is worth knowing about a compose file, a line each
 * @throws FILE_NOT_FOUND and other errors of the file, which they name; COMPOSE_INVALID when a guest would refuse it
 */
export async function chooseApp(choice: Choice, say: (line: string) => void): Promise<ChosenApp> {
  const { appCompose, compose, name: given, storage, provider, gateway } = choice;
  if (compose !== undefined) return ownApp(await fromComposeFile(compose, choice, say), compose, given);
  if (appCompose !== undefined) {
    const { text } = await readAppCompose(appCompose);
    return ownApp(text, appCompose, given);
  }
  const document = demoAppComposeText({ storage_fs: storage, key_provider: provider, gateway_enabled: gateway });
  const name = provider === 'none' ? 'demo' : `demo-${provider}-${storage}${gateway ? '-gateway' : ''}`;
  return { document, name: given ?? name, demo: true, ports: [DEMO_PORT] };
}

async function ownApp(document: string, path: string, given?: string): Promise<ChosenApp> {
  const app = parseAppCompose(Buffer.from(document), path);
  checkFeatureGates(app);
  const name = given ?? `app-${defaultAppId(document).slice(0, 12)}`;
  return { document, name, demo: false, ports: readsComposeFile(app) ? await published(app.dockerComposeFile) : [] };
}

async function published(text = ''): Promise<number[]> {
  const { publishedPorts } = await loadAppPorts();
  const { parseCompose } = await loadComposeFile();
  return publishedPorts(await parseCompose(text)).slice(0, MAX_PORTS);
}

/** The document that `app init` would write; a development VM has no visitors, so nothing is kept private. */
async function fromComposeFile(
  path: string,
  { storage, provider }: Choice,
  say: (line: string) => void,
): Promise<string> {
  const { initApp } = await loadAppInit();
  const { countOf, findingsText } = await loadAppCheck();
  const { text, findings } = await initApp(path, {
    runner: 'docker-compose',
    keyProvider: provider,
    gateway: false,
    publicLogs: true,
    publicSysinfo: true,
    noInstanceId: false,
    secureTime: false,
    storageFs: storage,
    // a start must not depend on which images the docker of this machine happens to have
    suggest: false,
  });
  for (const line of findingsText(findings.filter(({ level }) => level !== 'note'))) say(line);
  const refused = countOf(findings, 'refused');
  if (refused > 0) {
    throw new DstackError('COMPOSE_INVALID', `a guest would refuse this compose file: ${refused} findings above`, {
      path,
      hint: 'correct it; dstack-util app check says the same',
    });
  }
  return text;
}
