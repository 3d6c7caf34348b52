/** What the builds of kernel modules have in common. */

/**
 * Shell lines that start a module build in a folder with a fixed name, so that the result does not depend on where the
 * project lies. The folder itself is a temporary one below `$WORK`, bound to that name in the private mount namespace.
 */
export const buildPlace = [
  'mkdir -p /build "$WORK/build"',
  'mount --bind "$WORK/build" /build',
  'trap "cd /; umount /build; rm -rf \\"$WORK/build\\"" EXIT',
  'cd /build',
  'export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=dstack KBUILD_BUILD_HOST=dstack',
].join('\n');

/** Words for make: no debug data, which would be stripped anyway, and no BTF, which is made from it. */
export const leanModules = 'KCFLAGS=-g0 CONFIG_DEBUG_INFO_BTF_MODULES=';

/** Shell lines that make every `make` from here on lean, also one that a script starts in an environment of its own. */
export const leanMake = [
  'mkdir lean',
  `printf '#!/bin/sh\\nexec %s "$@" ${leanModules}\\n' "$(command -v make)" >lean/make`,
  'chmod +x lean/make',
  'export PATH="$PWD/lean:$PATH"',
].join('\n');
