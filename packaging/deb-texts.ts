/** The two texts that every Debian package has in its folder of documentation. */
import { type Lock, shippedPackages } from './sbom.ts';

/** One entry, which points to the project's own list of changes. @param epoch Unix seconds */
export function debianChangelog(version: string, maintainer: string, epoch: number): string {
  // as RFC 5322 writes a date, with the zone as a number
  const time = new Date(epoch * 1000).toUTCString().replace(/GMT$/, '+0000');
  return [
    `dstack-util (${version}) unstable; urgency=medium`,
    '',
    '  * Built by the project itself. What each version can do is in',
    '    changelog.gz beside this file.',
    '',
    ` -- ${maintainer}  ${time}`,
    '',
  ].join('\n');
}

/** The licence of the program, and of each library that its binary contains, as the lock file declares it. */
export function debianCopyright(lock: Lock): string {
  const libraries = shippedPackages(lock).map(
    ({ name, entry }) => `  ${`${name} ${entry.version}`.padEnd(44)} ${entry.license ?? 'see the package'}`,
  );
  return `dstack-util, the boot toolchain and guest agent of a confidential VM

Copyright 2026 the authors of dstack-util

Licensed under the Apache License, Version 2.0. You may not use this program
except in compliance with the License. It is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.

On Debian systems, the complete text of the Apache License, Version 2.0, can be
found in /usr/share/common-licenses/Apache-2.0.

The program contains these libraries and the runtime that executes it, each with
the licence that it declares. sbom.spdx.json beside this file has their digests.
The runtime contains JavaScriptCore, whose licence is the GNU Lesser General
Public License, version 2; its complete text can be found in
/usr/share/common-licenses/LGPL-2.

${libraries.join('\n')}
`;
}
