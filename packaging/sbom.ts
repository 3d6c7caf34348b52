/**
 * Software bill of materials of the binary, SPDX 2.3 as JSON: what the lock file pins of the product's dependencies, and
 * the runtime that is compiled in. Made from the lock file alone, so that one commit has one document.
 */
import { createHash } from 'node:crypto';

interface LockEntry {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

export interface SbomInput {
  readonly lock: Lock;
  readonly version: string;
  readonly revision: string;
  /** time of the commit, `YYYY-MM-DDTHH:MM:SSZ` */
  readonly created: string;
  /** the compiled binary's own digest, hex */
  readonly binarySha256: string;
}

/** Package whose binary is the runtime inside ours. It is a development dependency, yet it ships. */
const RUNTIME = '@oven/bun-linux-x64-baseline';

const ROOT = 'SPDXRef-Package-dstack-util';

/** The document as JSON text. Throws when a dependency is not pinned by a digest. */
export function sbom(input: SbomInput): string {
  const shipped = shippedPackages(input.lock);
  const packages = shipped.map(({ name, entry }) => {
    if (entry.integrity === undefined) throw new Error(`${name} has no digest in the lock file`);
    return {
      SPDXID: spdxId(name, entry.version),
      name,
      versionInfo: entry.version,
      downloadLocation: 'NOASSERTION',
      filesAnalyzed: false,
      licenseConcluded: 'NOASSERTION',
      licenseDeclared: entry.license ?? 'NOASSERTION',
      copyrightText: 'NOASSERTION',
      checksums: [checksum(entry.integrity)],
      externalRefs: [
        {
          referenceCategory: 'PACKAGE-MANAGER',
          referenceType: 'purl',
          referenceLocator: `pkg:npm/${name.replace('@', '%40')}@${entry.version}`,
        },
      ],
    };
  });
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `dstack-util-${input.version}`,
    documentNamespace: `https://spdx.org/spdxdocs/dstack-util-${input.version}-${input.binarySha256}`,
    creationInfo: { created: input.created, creators: [`Tool: dstack-util-dist-${input.version}`] },
    packages: [
      {
        SPDXID: ROOT,
        name: 'dstack-util',
        versionInfo: `${input.version} (${input.revision})`,
        downloadLocation: 'NOASSERTION',
        filesAnalyzed: false,
        licenseConcluded: 'Apache-2.0',
        licenseDeclared: 'Apache-2.0',
        copyrightText: 'NOASSERTION',
        primaryPackagePurpose: 'APPLICATION',
        checksums: [{ algorithm: 'SHA256', checksumValue: input.binarySha256 }],
      },
      ...packages,
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: ROOT },
      ...packages.map(({ SPDXID, name }) => ({
        spdxElementId: ROOT,
        relationshipType: name === RUNTIME ? 'STATIC_LINK' : 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** What ends up in the binary: everything that is not for development only, and the runtime. */
export function shippedPackages(lock: Lock): { name: string; entry: LockEntry }[] {
  const all = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== '' && (!entry.dev || path === `node_modules/${RUNTIME}`))
    .map(([path, entry]) => ({ name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), entry }))
    .map(({ name, entry }) => [`${name}@${entry.version}`, { name, entry }] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  // the same version may lie in several folders
  return [...new Map(all).values()];
}

const spdxId = (name: string, version: string): string =>
  `SPDXRef-Package-${name.replaceAll(/[^A-Za-z0-9.-]/g, '-').replace(/^-/, '')}-${version}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;

/** A subresource integrity string (`sha512-<base64>`) in the words of SPDX. */
function checksum(integrity: string): { algorithm: string; checksumValue: string } {
  const [, algorithm = '', value = ''] = /^(sha\d+)-(.+)$/.exec(integrity) ?? [];
  return { algorithm: algorithm.toUpperCase(), checksumValue: Buffer.from(value, 'base64').toString('hex') };
}
