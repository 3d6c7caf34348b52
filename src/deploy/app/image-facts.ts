/** What an operating system image says about itself: its version, and which docker compose is in it. */
import { join } from 'node:path';
import { isObject, parseStrictJsonBytes } from '../../config/strict-json.ts';
import { METADATA_FILE, readImageMetadata } from '../../os-image/os-image.ts';
import { ifExists, readLimited } from '../../sys/files.ts';

export interface ImageFacts {
  /** of the system, such as `0.6.0`; empty if the image does not say */
  readonly version: string;
  /** upstream part of the package version, such as `2.26.1`; undefined if the image has no bill of materials */
  readonly composeVersion?: string;
}

/** SPDX 2.3 as JSON. */
const BILL = 'sbom.spdx.json';
const BILL_LIMIT = 16 * 1024 * 1024;
const METADATA_LIMIT = 65_536;
const PACKAGES = ['docker-compose', 'docker-compose-plugin', 'docker-compose-v2'];

/** @throws FILE_NOT_FOUND, JSON_INVALID, DOCUMENT_INVALID */
export async function readImageFacts(dir: string): Promise<ImageFacts> {
  const path = join(dir, METADATA_FILE);
  const { version } = readImageMetadata(await readLimited(path, METADATA_LIMIT), path);
  const billPath = join(dir, BILL);
  const bytes = await ifExists(() => readLimited(billPath, BILL_LIMIT));
  const bill = bytes === undefined ? undefined : parseStrictJsonBytes(bytes, billPath);
  const packages = isObject(bill) && Array.isArray(bill['packages']) ? bill['packages'] : [];
  for (const item of packages) {
    if (!isObject(item) || !PACKAGES.includes(String(item['name']))) continue;
    const composeVersion = /^(?:\d+:)?(\d+\.\d+\.\d+)/.exec(String(item['versionInfo']))?.[1];
    if (composeVersion !== undefined) return { version, composeVersion };
  }
  return { version };
}
