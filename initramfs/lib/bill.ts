/** What an image is made of: each Debian package with the digest of its file, and the same as an SPDX 2.3 document. */
import { join } from 'node:path';
import { cacheRoot, exists, hashFile } from './cache.ts';

export interface PackageRecord {
  readonly version: string;
  /** SHA-256 of the package file that was installed, hex */
  readonly sha256: string;
}

/** Where the package layer keeps the files it was made from. */
const debsDir = join(cacheRoot, 'debs');

/** `name` and `version` of a line of `dpkg-query -W`; the name may carry an architecture (`libc6:amd64`). */
export function parsePackageLines(text: string): { name: string; version: string }[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [, name = '', version = ''] = /^([^\t:]+)(?::\w+)?\t(\S+)$/.exec(line) ?? [];
      if (name === '') throw new Error(`not a package line: ${JSON.stringify(line)}`);
      return { name, version };
    });
}

/** Packages by name, with digests. An epoch's colon is `%3a` in file names, as apt writes them. */
export async function packageRecords(text: string, debs = debsDir): Promise<Record<string, PackageRecord>> {
  const records: Record<string, PackageRecord> = {};
  for (const { name, version } of parsePackageLines(text)) {
    const names = ['amd64', 'all'].map((arch) => join(debs, `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`));
    const there = await Promise.all(names.map(exists));
    const file = names[there.indexOf(true)];
    if (file === undefined)
      throw new Error(
        `the file of package ${name} ${version} is not in ${debs}\n  hint: remove .cache/packages and build again`,
      );
    records[name] = { version, sha256: await hashFile(file) };
  }
  return records;
}

export interface ImageBill {
  /** file name of the document's subject, e.g. `dstack-prod` */
  readonly name: string;
  readonly rootHash: string;
  /** seconds since 1970 */
  readonly epoch: number;
  readonly packages: Readonly<Record<string, PackageRecord>>;
  /** programs that come from this repository: path in the image and SHA-256 */
  readonly programs: readonly { readonly imagePath: string; readonly sha256: string }[];
  readonly kernelVersion: string;
}

const NONE = { downloadLocation: 'NOASSERTION', filesAnalyzed: false, licenseConcluded: 'NOASSERTION' } as const;

/** The bill of materials as JSON text; one image, one document. */
export function imageSbom(bill: ImageBill): string {
  const image = 'SPDXRef-Package-image';
  const checksums = (sha256: string) => [{ algorithm: 'SHA256', checksumValue: sha256 }];
  const debian = Object.entries(bill.packages).map(([name, { version, sha256 }]) => ({
    SPDXID: `SPDXRef-deb-${name.replaceAll(/[^A-Za-z0-9.-]/g, '-')}-${sha256.slice(0, 8)}`,
    name,
    versionInfo: version,
    ...NONE,
    copyrightText: 'NOASSERTION',
    checksums: checksums(sha256),
    externalRefs: [
      {
        referenceCategory: 'PACKAGE-MANAGER',
        referenceType: 'purl',
        referenceLocator: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}`,
      },
    ],
  }));
  const own = bill.programs.map(({ imagePath, sha256 }) => ({
    SPDXID: `SPDXRef-own-${sha256.slice(0, 16)}`,
    name: imagePath,
    ...NONE,
    copyrightText: 'NOASSERTION',
    checksums: checksums(sha256),
  }));
  const parts = [...debian, ...own];
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: bill.name,
    documentNamespace: `https://spdx.org/spdxdocs/${bill.name}-${bill.rootHash}`,
    creationInfo: {
      created: `${new Date(bill.epoch * 1000).toISOString().slice(0, 19)}Z`,
      creators: ['Tool: dstack-util-image'],
    },
    packages: [
      {
        SPDXID: image,
        name: bill.name,
        versionInfo: `kernel ${bill.kernelVersion}, root hash ${bill.rootHash}`,
        ...NONE,
        copyrightText: 'NOASSERTION',
        primaryPackagePurpose: 'OPERATING-SYSTEM',
      },
      ...parts,
    ],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: image },
      ...parts.map(({ SPDXID }) => ({
        spdxElementId: image,
        relationshipType: 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
