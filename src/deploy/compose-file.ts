/**
 * docker-compose.yaml: taken from the measured app-compose.json on every start, so that what runs is what was measured.
 * A copy that somebody edited is replaced.
 */
import { join } from 'node:path';
import type { AppCompose } from '../config/app-compose.ts';
import { isObject } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';

export const COMPOSE_FILE = 'docker-compose.yaml';

export interface ComposeService {
  readonly name: string;
  /** with all variables filled in; empty when it is built and has no name */
  readonly image: string;
  readonly built: boolean;
  /** a service of a profile that was not asked for is not started */
  readonly profiles: readonly string[];
}
const LIMIT = 64 * 1024 * 1024;

/**
 * Writes the compose file unless it is already there byte for byte: the text of `docker_compose_file` and a newline.
 * @returns its path
 * @throws COMPOSE_INVALID when the app has none
 */
export async function extractComposeFile(compose: Pick<AppCompose, 'dockerComposeFile'>, dir: string): Promise<string> {
  const path = join(dir, COMPOSE_FILE);
  if (compose.dockerComposeFile === undefined)
    throw new DstackError('COMPOSE_INVALID', 'docker_compose_file is missing', { field: 'docker_compose_file' });
  const wanted = Buffer.from(`${compose.dockerComposeFile}\n`);
  const present = await ifExists(() => readLimited(path, LIMIT).catch(unlessMissing));
  if (present !== undefined && wanted.equals(present)) return path;
  if (present !== undefined) ui.warn(`${path} differs from the measured app-compose.json: replaced`);
  await writeAtomic(path, wanted, 0o644);
  return path;
}

/** Whatever else lies at the path (a link, a huge file) is not our compose file and is replaced. */
function unlessMissing(thrown: unknown): Uint8Array {
  if (thrown instanceof DstackError && (thrown.code === 'FILE_NOT_REGULAR' || thrown.code === 'FILE_TOO_LARGE'))
    return new Uint8Array(0);
  throw thrown;
}

export interface ComposeProject {
  /** project name: top-level `name`, else the name of the folder */
  readonly project: string;
  /** names of its services */
  readonly services: ReadonlySet<string>;
  /** false: it includes other files, whose services only compose itself could tell */
  readonly complete: boolean;
}

/**
 * What a compose file calls its project and services. As in docker compose, a later YAML document of the file adds to the
 * earlier ones.
 * @param dirName name of the folder the file is in
 * @throws COMPOSE_INVALID
 */
export async function composeProject(text: string, dirName: string, path?: string): Promise<ComposeProject> {
  const { name, services, complete } = await parseCompose(text, path);
  return { project: name ?? dirName, services: new Set(services.keys()), complete };
}

/** The services as they are written, without variables filled in. @throws COMPOSE_INVALID */
export async function composeServices(text: string): Promise<ComposeService[]> {
  const { services } = await parseCompose(text);
  return [...services].map(([name, { image, build, profiles }]) => {
    return {
      name,
      image: typeof image === 'string' ? image : '',
      built: build !== undefined && build !== null,
      profiles: Array.isArray(profiles) ? profiles.map(String) : [],
    };
  });
}

/** More aliases than this in one document are an attack on memory, not a compose file. */
const MAX_ALIASES = 1000;

/** A compose file as it is written: YAML is resolved, variables are not filled in. */
export interface ComposeSource {
  /** top-level `name` */
  readonly name: string | undefined;
  readonly services: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** false: it includes other files */
  readonly complete: boolean;
  /** its YAML documents, each a mapping; at least one */
  readonly documents: readonly Readonly<Record<string, unknown>>[];
}

/** A start asks three times about the same text, and parsing costs more than everything else that it does by itself. */
let latest: { readonly text: string; readonly parsed: ComposeSource } | undefined;

/** Reads a compose file. @param path only for errors @throws COMPOSE_INVALID */
export async function parseCompose(text: string, path?: string): Promise<ComposeSource> {
  if (latest?.text !== text) latest = { text, parsed: await parse(text, path) };
  return latest.parsed;
}

async function parse(text: string, path?: string): Promise<ComposeSource> {
  const { parseAllDocuments } = await import('yaml');
  const invalid = (why: string, cause?: unknown) =>
    new DstackError('COMPOSE_INVALID', `compose file ${why}`, { path, cause });
  let values: unknown[];
  try {
    // not an array: a text without a document
    const documents = [parseAllDocuments(text, { merge: true })].flat();
    values = documents.map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS({ maxAliasCount: MAX_ALIASES });
    });
  } catch (thrown) {
    throw invalid('is not valid YAML', thrown);
  }
  // an empty document, as behind a last `---`, says nothing
  return joined(
    values.filter((value) => value !== null),
    invalid,
  );
}

/** Later documents add services, change fields of earlier ones, and rename the project. */
function joined(values: readonly unknown[], invalid: (why: string) => DstackError): ComposeSource {
  let name: string | undefined;
  let complete = true;
  let declared = false;
  const services = new Map<string, Readonly<Record<string, unknown>>>();
  const documents: Readonly<Record<string, unknown>>[] = [];
  if (values.length === 0) throw invalid('is not a mapping');
  for (const value of values) {
    if (!isObject(value)) throw invalid('is not a mapping');
    documents.push(value);
    if (typeof value['name'] === 'string' && value['name'] !== '') name = value['name'];
    if (value['include'] !== undefined) complete = false;
    const own = value['services'];
    if (own === undefined) continue;
    if (!isObject(own)) throw invalid('is missing the mapping `services`');
    declared = true;
    for (const [service, fields] of Object.entries(own))
      services.set(service, { ...services.get(service), ...(isObject(fields) ? fields : {}) });
  }
  if (!declared && complete) throw invalid('is missing the mapping `services`');
  return { name, services, complete, documents };
}
