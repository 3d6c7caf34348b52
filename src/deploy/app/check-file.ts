/** `app check`: one file, whichever of the two it is, judged without a guest. */
import { APP_COMPOSE_LIMIT, type AppCompose } from '../../config/app-compose.ts';
import { DstackError } from '../../errors.ts';
import { readLimited, utf8 } from '../../sys/files.ts';
import { checkComposeText } from './check-compose.ts';
import { checkAppDocument } from './check-document.ts';
import { type AppFinding, Findings, sortFindings } from './finding.ts';
import { type ImageFacts, readImageFacts } from './image-facts.ts';

export { type AppFinding, countOf, type FindingLevel, findingsText } from './finding.ts';

export interface FileCheck {
  readonly kind: 'app-compose' | 'docker-compose';
  /** absent for a compose file, and for a document that cannot be read */
  readonly app?: AppCompose;
  readonly image?: ImageFacts;
  /** the worst first */
  readonly findings: readonly AppFinding[];
}

export interface FileCheckOptions {
  /** folder of the operating system image that will boot the app */
  readonly image?: string;
  /** ask the docker of this machine for digests; default true */
  readonly suggest?: boolean;
}

/** @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_IO; and as `readImageFacts` for the image */
export async function checkFile(path: string, options: FileCheckOptions = {}): Promise<FileCheck> {
  const { suggest = true } = options;
  const image = options.image === undefined ? undefined : await readImageFacts(options.image);
  const findings = new Findings();
  const done = (kind: FileCheck['kind'], app?: AppCompose): FileCheck => ({
    kind,
    ...(app === undefined ? {} : { app }),
    ...(image === undefined ? {} : { image }),
    findings: sortFindings(findings.list),
  });
  const raw = await readSized(path, findings);
  if (raw === undefined) return done('app-compose');
  if (image !== undefined && image.composeVersion === undefined) {
    const text = 'the image has no bill of materials that names docker compose: the keys of 2.26.1 are taken';
    findings.add('note', 'compose-version', '--image', text);
  }
  if (isDocument(path, raw)) {
    const app = await checkAppDocument(raw, path, findings, { suggest, ...(image === undefined ? {} : { image }) });
    return done('app-compose', app);
  }
  const version = image?.composeVersion;
  await checkComposeText(utf8(raw, path), path, findings, {
    suggest,
    ...(version === undefined ? {} : { composeVersion: version }),
  });
  return done('docker-compose');
}

/** A file that is too large is one that the boot refuses, not one that cannot be judged. */
async function readSized(path: string, findings: Findings): Promise<Uint8Array | undefined> {
  try {
    return await readLimited(path, APP_COMPOSE_LIMIT);
  } catch (thrown) {
    if (!(thrown instanceof DstackError) || thrown.code !== 'FILE_TOO_LARGE') throw thrown;
    findings.add('refused', thrown.code, path, thrown.message, thrown.hint);
    return undefined;
  }
}

/** A compose file may be written as JSON, too, but has neither of these keys at its top. */
function isDocument(path: string, raw: Uint8Array): boolean {
  if (/\.ya?ml$/i.test(path)) return false;
  if (/\.json$/i.test(path)) return true;
  return /^\s*\{[\s\S]*"(manifest_version|docker_compose_file|runner)"\s*:/.test(Buffer.from(raw).toString('utf8'));
}
