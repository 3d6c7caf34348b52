/**
 * A registry with one image of one layer, for a room without a network: `bun test/vm/registry.ts PORT PROGRAM PADDING`.
 * Speaks as much of the OCI distribution specification as a pull needs. PROGRAM becomes /bin/busybox, PADDING is the size
 * of a further file in bytes. Prints the digest of the image as soon as it answers.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [port = '', program = '', padding = '0'] = process.argv.slice(2);

const dir = mkdtempSync(join(tmpdir(), 'registry-'));
mkdirSync(join(dir, 'root/bin'), { recursive: true });
copyFileSync(program, join(dir, 'root/bin/busybox'));
for (const name of ['sh', 'sleep']) symlinkSync('busybox', join(dir, 'root/bin', name));
writeFileSync(join(dir, 'root/padding'), '');
truncateSync(join(dir, 'root/padding'), Number(padding));
execFileSync('tar', ['-C', join(dir, 'root'), '-cf', join(dir, 'layer'), '.']);

const digest = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const blobs = new Map<string, Uint8Array>();
function add(mediaType: string, bytes: Uint8Array): { mediaType: string; digest: string; size: number } {
  blobs.set(digest(bytes), bytes);
  return { mediaType, digest: digest(bytes), size: bytes.length };
}
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const layer = add('application/vnd.oci.image.layer.v1.tar', readFileSync(join(dir, 'layer')));
const rootfs = { type: 'layers', diff_ids: [layer.digest] };
const image = json({ architecture: 'amd64', os: 'linux', config: { Cmd: ['sleep', '1000'] }, rootfs });
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const config = add('application/vnd.oci.image.config.v1+json', image);
const manifest = json({ schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] });

const server = createServer((request, response) => {
  const [, kind, reference = ''] = /^\/v2\/\w+\/(manifests|blobs)\/(.*)$/.exec(request.url ?? '') ?? [];
  const bytes = kind === 'manifests' ? manifest : blobs.get(reference);
  if (request.url === '/v2/') return void response.writeHead(200).end('{}');
  if (kind === undefined || bytes === undefined) return void response.writeHead(404).end('{"errors":[]}');
  response.writeHead(200, {
    'content-type': kind === 'manifests' ? MANIFEST : 'application/octet-stream',
    'content-length': bytes.length,
    'docker-content-digest': digest(bytes),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
});
server.listen(Number(port), '127.0.0.1', () => console.log(digest(manifest)));
