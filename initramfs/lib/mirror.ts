/**
 * Where packages come from. No mirror is named here: it is an option, else what the host's own apt uses, else the
 * default of mmdebstrap.
 */
import { run } from './run.ts';

/** The Debian release of the image and of the tools tree. */
export const suite = 'trixie';

/** Components: contrib is where ZFS lives. */
export const components = 'main contrib';

/** The same path on the host and in the tools tree. */
export const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface Mirror {
  /** Lines for mmdebstrap, empty when its own default is to be used. */
  sources: string[];
  origin: 'option' | 'host' | 'default';
}

interface Target {
  uri: string;
  codename: string;
  origin: string;
  label: string;
}

/** The format given to `apt-get indextargets`; one line a repository index. */
export const targetFormat = '$(IDENTIFIER)|$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(LABEL)';

/** Reads the lines of `apt-get indextargets --format` into the repositories of Debian itself. */
export function parseTargets(text: string): Target[] {
  return text
    .split('\n')
    .map((line) => line.trim().split('|'))
    .filter((fields) => fields.length === 5 && fields[0] === 'Packages')
    .map(([, uri = '', codename = '', origin = '', label = '']) => ({ uri, codename, origin, label }))
    .filter(({ origin }) => origin === 'Debian');
}

/** Chooses the source lines for the image's suite from the repositories of a host, whatever release the host runs. */
export function sourcesFromTargets(targets: readonly Target[]): string[] {
  const isSecurity = (t: Target) => t.label === 'Debian-Security' || /-security$/.test(t.codename);
  const plain = targets.filter((t) => !isSecurity(t) && !/-(updates|backports|proposed|debug)/.test(t.codename));
  const main = plain[0]?.uri;
  if (main === undefined) return [];
  return sourceLines(main, targets.find(isSecurity)?.uri);
}

/** Source lines for a base address and an optional one of the security archive. */
export function sourceLines(main: string, security: string | undefined): string[] {
  const line = (uri: string, name: string) => `deb [signed-by=${keyring}] ${uri} ${name} ${components}`;
  return security ? [line(main, suite), line(security, `${suite}-security`)] : [line(main, suite)];
}

/** By convention the security archive stands beside the main one, as `debian-security` beside `debian`. */
export function securityBeside(main: string): string | undefined {
  return /\/debian\/*$/.test(main) ? main.replace(/\/debian\/*$/, '/debian-security') : undefined;
}

/** Refuses anything that would become more than one word of a sources line. */
export function checkMirror(mirror: string): string {
  if (!/^(https?|file|copy):\/[^\s\]]+$/.test(mirror)) {
    throw new Error(`bad mirror '${mirror}'\n  hint: the base address of a Debian archive, http://HOST/debian`);
  }
  return mirror;
}

/** Finds the package sources for this build. */
export async function findMirror(option?: string): Promise<Mirror> {
  if (option) {
    const main = checkMirror(option);
    const beside = securityBeside(main);
    const security = beside && (await answers(`${beside}/dists/${suite}-security/InRelease`)) ? beside : undefined;
    return { sources: sourceLines(main, security), origin: 'option' };
  }
  const listing = await run(['apt-get', 'indextargets', '--format', targetFormat], { allowFailure: true }).catch(
    () => null,
  );
  const sources = sourcesFromTargets(parseTargets(listing?.stdout ?? ''));
  return { sources, origin: sources.length > 0 ? 'host' : 'default' };
}

async function answers(url: string): Promise<boolean> {
  if (!url.startsWith('http')) return false;
  return fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(10_000) }).then(
    (response) => response.ok,
    () => false,
  );
}

/** Proxy and certificate settings of the host's apt, as options for the apt inside a new tree. */
export async function hostAptOptions(): Promise<string[]> {
  const dump = await run(['apt-config', 'dump'], { allowFailure: true }).catch(() => null);
  return (dump?.stdout ?? '').split('\n').filter((line) => /^Acquire::https?::(Proxy|CaInfo)[^ ]* ".+";$/i.test(line));
}
