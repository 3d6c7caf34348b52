/** The images that an app runs: which the measurement pins, and by which digest the others could be pinned. */
import { isObject } from '../../config/strict-json.ts';
import { run } from '../../sys/exec.ts';
import type { ComposeSource } from '../compose-file.ts';
import { familiarName, isPinned } from '../image-references.ts';
import { dockerfileBases } from './dockerfile.ts';
import type { Findings } from './finding.ts';
import { interpolation } from './interpolation.ts';
import { bare } from './shape.ts';

export interface AppImage {
  /** `services.web.image`, or the Dockerfile that starts from it */
  readonly where: string;
  /** name of the service whose `image` it is; undefined for a base of a build */
  readonly service?: string;
  /** as written, with the defaults of its variables */
  readonly image: string;
  readonly pinned: boolean;
  /** variables that decide what it is */
  readonly variables: readonly string[];
  /** the same image by content, if the docker of this machine has it */
  readonly suggestion?: string;
}

export function appImages({ services }: Pick<ComposeSource, 'services'>): AppImage[] {
  return [...services].flatMap(([service, { image, build }]): AppImage[] => {
    const inline = isObject(build) ? build['dockerfile_inline'] : undefined;
    if (typeof inline === 'string') {
      const where = `services.${service}.build.dockerfile_inline`;
      const { uses } = interpolation(inline);
      return dockerfileBases(bare(inline)).map(({ line, image: base }) => ({
        where: `${where} line ${line}`,
        image: base,
        pinned: isPinned(base),
        variables: uses.filter(({ name }) => new RegExp(`FROM.*\\$\\{?${name}`).test(inline)).map(({ name }) => name),
      }));
    }
    if ((build !== undefined && build !== null) || typeof image !== 'string' || image === '') return [];
    const { uses, bare: text } = interpolation(image);
    const variables = uses.map(({ name }) => name);
    const where = `services.${service}.image`;
    return [{ where, service, image: text, pinned: isPinned(text) && variables.length === 0, variables }];
  });
}

export function checkImages(images: readonly AppImage[], findings: Findings): void {
  for (const { where, image, pinned, variables, suggestion } of images) {
    if (variables.length > 0) {
      const text = `${variables.join(', ')} decides which image this is: whoever encrypts the environment chooses it`;
      findings.add('unpinned', 'image-variable', where, text, 'write the image with its digest');
    } else if (!pinned) {
      const fix =
        suggestion === undefined
          ? `write ${image}@sha256:<digest>; docker buildx imagetools inspect ${image} prints the digest`
          : `write ${suggestion}`;
      findings.add('unpinned', 'image-tag', where, `${image} can point to another image tomorrow`, fix);
    }
  }
}

const LOOK_MS = 10_000;

/**
 * Asks the docker of this machine for the digests of images that it has pulled before. Nothing is fetched. Without a
 * docker, or for an image that it does not have, there is no suggestion.
 */
export async function suggestDigests(images: readonly AppImage[]): Promise<AppImage[]> {
  return Promise.all(
    images.map(async (image) => {
      if (image.pinned || image.variables.length > 0 || image.image === '') return image;
      const suggestion = await localDigest(image.image);
      return suggestion === undefined ? image : { ...image, suggestion };
    }),
  );
}

async function localDigest(image: string): Promise<string | undefined> {
  const args = ['image', 'inspect', '--format', '{{json .RepoDigests}}', '--', image];
  try {
    const { stdout } = await run('docker', args, { readOnly: true, timeoutMs: LOOK_MS });
    const known = JSON.parse(stdout) as unknown;
    if (!Array.isArray(known)) return undefined;
    const repository = repositoryOf(image);
    const digest = known
      .map((text) => String(text).split('@'))
      .find(([name = '', hash = '']) => repositoryOf(name) === repository && isPinned(`x@${hash}`))?.[1];
    return digest === undefined ? undefined : `${image.split('@')[0]}@${digest}`;
  } catch {
    return undefined;
  }
}

/** A reference without tag and digest, in docker's short form. */
const repositoryOf = (reference: string): string => familiarName(reference.split('@')[0] ?? '').replace(/:[^/:]+$/, '');

/**
 * Writes the suggested references into the text of a compose file and changes nothing else of it.
 * @returns the new text and the services whose image was pinned
 */
export async function pinImages(
  text: string,
  images: readonly AppImage[],
): Promise<{ readonly text: string; readonly pinned: readonly string[] }> {
  const { isScalar, parseAllDocuments } = await import('yaml');
  const documents = [parseAllDocuments(text)].flat();
  const changes: { from: number; to: number; value: string }[] = [];
  const pinned: string[] = [];
  for (const { service, suggestion, image } of images) {
    if (service === undefined || suggestion === undefined) continue;
    for (const document of documents) {
      const node: unknown = document.getIn(['services', service, 'image'], true);
      if (!isScalar(node) || node.value !== image || !node.range) continue;
      changes.push({ from: node.range[0], to: node.range[1], value: suggestion });
      pinned.push(service);
    }
  }
  let out = text;
  for (const { from, to, value } of changes.toSorted((a, b) => b.from - a.from))
    out = `${out.slice(0, from)}${value}${out.slice(to)}`;
  return { text: out, pinned };
}
