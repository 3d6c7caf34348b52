/**
 * What a compose file takes from the folder that it lies in. Only its text reaches the guest, as /dstack/docker-compose.yaml:
 * a path in it is a path of the guest, and files beside it stay at home.
 */
import { isObject } from '../../config/strict-json.ts';
import type { ComposeSource } from '../compose-file.ts';
import { dockerfileCopies } from './dockerfile.ts';
import type { Findings } from './finding.ts';
import { bare, type ServiceFields, stringsOf } from './shape.ts';

const ONLY_TEXT = 'only the text of the compose file reaches the guest';

/** An address instead of a path: git, a registry, a web server. */
const isRemote = (text: string): boolean =>
  /^(https?:\/\/|git:\/\/|ssh:\/\/|git@|oci:\/\/|docker-image:\/\/|github\.com\/)/.test(text) ||
  /\.git(#|$)/.test(text);

export const isAbsolute = (path: string): boolean => path.startsWith('/');

export function checkFiles(source: ComposeSource, findings: Findings): void {
  for (const document of source.documents) {
    includes(document['include'], findings);
    for (const kind of ['configs', 'secrets'] as const) {
      const entries = document[kind];
      if (!isObject(entries)) continue;
      for (const [name, value] of Object.entries(entries))
        if (isObject(value) && value['file'] !== undefined)
          missing(findings, 'local-file', `${kind}.${name}.file`, bare(value['file']), contentInstead(kind));
    }
  }
  for (const [name, service] of source.services) serviceFiles(`services.${name}`, service, findings);
}

const contentInstead = (kind: string): string =>
  kind === 'configs'
    ? 'write it into the compose file: content: | and the text'
    : 'take it from an encrypted variable: environment: NAME';

/** A file that must be there when compose reads the project. An absolute path may exist in the guest. */
function missing(findings: Findings, rule: string, where: string, path: string, fix: string): void {
  if (path === '' || isRemote(path)) return;
  if (isAbsolute(path)) {
    findings.add(
      'warning',
      rule,
      where,
      `${path} is read in the guest, not on this machine`,
      'make sure that it is there',
    );
    return;
  }
  findings.add('refused', rule, where, `${path} does not exist in the guest: ${ONLY_TEXT}`, fix);
}

function includes(value: unknown, findings: Findings): void {
  if (value === undefined || value === null) return;
  const items: unknown[] = Array.isArray(value) ? value : [value];
  items.forEach((item, i) => {
    const paths = isObject(item) ? stringsOf(item['path']) : stringsOf(item);
    for (const path of paths) {
      const where = `include[${i}]`;
      if (isRemote(path)) {
        const text = `${path} is fetched at every start, and the measurement does not cover it`;
        findings.add('unpinned', 'include-remote', where, text, 'copy its services into this file');
      } else
        missing(findings, 'include', where, path, 'copy its services into this file: docker compose config does that');
    }
  });
}

function serviceFiles(where: string, service: ServiceFields, findings: Findings): void {
  const { extends: base, env_file: envFile, label_file: labelFile, build, credential_spec: spec } = service;
  if (isObject(base) && base['file'] !== undefined)
    missing(findings, 'extends', `${where}.extends.file`, bare(base['file']), 'copy the service into this file');
  for (const [i, item] of (Array.isArray(envFile) ? envFile : [envFile]).entries()) {
    const path = isObject(item) ? bare(item['path']) : bare(item);
    const optional = isObject(item) && item['required'] === false;
    const fix = 'name the variables under environment: their values come from the encrypted environment';
    const place = `${where}.env_file${Array.isArray(envFile) ? `[${i}]` : ''}`;
    if (!optional) missing(findings, 'env-file', place, path, fix);
    else if (path !== '')
      findings.add('note', 'env-file', place, `${path} is not there in the guest, and not required`);
  }
  for (const path of stringsOf(labelFile))
    missing(findings, 'local-file', `${where}.label_file`, path, 'write labels:');
  if (isObject(spec) && spec['file'] !== undefined)
    missing(findings, 'local-file', `${where}.credential_spec.file`, bare(spec['file']), 'remove it');
  if (build !== undefined && build !== null) checkBuild(`${where}.build`, build, findings);
}

const HOW_TO_BUILD = 'build the image here, push it, and name it by digest; or write dockerfile_inline';

function checkBuild(where: string, build: unknown, findings: Findings): void {
  const context = isObject(build) ? bare(build['context'] ?? '.') : bare(build);
  if (isRemote(context)) {
    if (!/#[0-9a-f]{40}(:|$)/.test(context)) {
      const text = `${context} can change: the measurement does not cover what is built from it`;
      findings.add('unpinned', 'build-remote', where, text, 'end the address with # and a commit of 40 digits');
    }
    return;
  }
  const inline = isObject(build) ? build['dockerfile_inline'] : undefined;
  if (typeof inline !== 'string') {
    const text = `it is built from ${context === '' ? '.' : context}, which is not there in the guest: ${ONLY_TEXT}`;
    findings.add('refused', 'build-context', where, text, HOW_TO_BUILD);
    return;
  }
  for (const { line, sources } of dockerfileCopies(bare(inline))) {
    const text = `line ${line} of dockerfile_inline copies ${sources.join(' ')}: ${ONLY_TEXT}`;
    findings.add(
      'refused',
      'build-copy',
      `${where}.dockerfile_inline`,
      text,
      'write the file with a here-document: COPY <<EOF',
    );
  }
}
