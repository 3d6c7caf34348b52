/** Image references: what a name in a compose file points to, and whether it can point to something else tomorrow. */
import * as ui from '../ui.ts';
import type { ComposeModel } from './compose-model.ts';

const DIGEST = /@sha256:[0-9a-f]{64}$/;

/** True when a reference names exact content. */
export const isPinned = (reference: string): boolean => DIGEST.test(reference);

export interface LooseImage {
  readonly service: string;
  readonly image: string;
  /** what to write instead */
  readonly fix: string;
}

/**
 * Images that the measurement does not pin: the compose file is measured, but a tag in it can be moved by whoever owns the
 * registry. A service that is built, and an image that comes along with the guest, has no registry to ask.
 */
export function looseImages({ services }: ComposeModel): LooseImage[] {
  return services
    .filter(({ image, built }) => image !== '' && !built && !isPinned(image))
    .map(({ name, image }) => ({
      service: name,
      image,
      fix: `write image: ${image}@sha256:<digest>; docker buildx imagetools inspect ${image} prints the digest`,
    }));
}

/** Names them in the journal, with what to write instead. */
export function warnOfLooseImages(services: ComposeModel['services']): void {
  for (const { service, image, fix } of looseImages({ project: '', services }))
    ui.warn(ui.printable(`image ${image} of service ${service} is not pinned by the measurement: ${fix}`));
}

/**
 * The full form of a reference as docker lists it: registry docker.io and its folder library left out, tag latest added
 * (OCI distribution reference, docker's familiar names).
 */
export function familiarName(reference: string): string {
  const [name = '', digest] = reference.split('@');
  const short = name.replace(/^(index\.)?docker\.io\//, '').replace(/^library\//, '');
  const tagged = short.slice(short.lastIndexOf('/') + 1).includes(':');
  if (digest !== undefined) return `${short.replace(/:[^/:]+$/, '')}@${digest}`;
  return tagged ? short : `${short}:latest`;
}
