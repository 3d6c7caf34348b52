/** The version of this build. The constants are replaced by scripts/build.ts; a run from sources says so. */
declare const DSTACK_VERSION: string;
declare const DSTACK_REVISION: string;
declare const DSTACK_BUILD_TIME: number;

export const VERSION: string = typeof DSTACK_VERSION === 'string' ? DSTACK_VERSION : '0.0.0-source';

/** `git:<20 hex digits>`, with `-modified` for a dirty work tree, or `unknown` (guest agent services, Version). */
export const REVISION: string = typeof DSTACK_REVISION === 'string' ? DSTACK_REVISION : 'unknown';

/**
 * Unix seconds of the commit this was built from, so that equal commits give equal bytes. Without a commit a moment before
 * which nothing of this was written.
 */
export const BUILD_TIME: number = typeof DSTACK_BUILD_TIME === 'number' ? DSTACK_BUILD_TIME : 1_795_996_800;

/** `v<semver> (git:<rev>)`: `--version` and the header X-App-Version. */
export const VERSION_TEXT = `v${VERSION} (${REVISION})`;
