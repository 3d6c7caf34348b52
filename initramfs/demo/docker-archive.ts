/** Packs one layer and its configuration as the archive that `docker load` takes (docker image specification 1.2). */
import { createHash } from 'node:crypto';
import { type TarEntry, tar } from './tar.ts';

export interface ContainerConfig {
  readonly Cmd: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  /** such as `{ '8080/tcp': {} }` */
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The archive of an amd64 image with the name `tag`; equal inputs give equal bytes. `created` in seconds. */
export function dockerArchive(options: {
  tag: string;
  files: readonly TarEntry[];
  config: ContainerConfig;
  created: number;
}): Uint8Array {
  const layer = tar(options.files, options.created);
  const layerId = sha256(layer);
  const created = new Date(options.created * 1000).toISOString();
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    created,
    config: options.config,
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerId}`] },
    history: [{ created, created_by: 'dstack-util demo' }],
  });
  const configName = `${sha256(config)}.json`;
  const manifest = json([{ Config: configName, RepoTags: [options.tag], Layers: [`${layerId}/layer.tar`] }]);
  return tar(
    [
      { path: 'manifest.json', type: 'file', mode: 0o644, data: manifest },
      { path: configName, type: 'file', mode: 0o644, data: config },
      { path: layerId, type: 'directory', mode: 0o755 },
      { path: `${layerId}/layer.tar`, type: 'file', mode: 0o644, data: layer },
    ],
    options.created,
  );
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
