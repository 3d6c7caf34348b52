/** Short forms for the tests of `app check`: a compose file in, the rules that spoke out. */
import { stringify } from 'yaml';
import { parseAppCompose } from '../../../src/config/app-compose.ts';
import { checkComposeText } from '../../../src/deploy/app/check-compose.ts';
import { checkAppDocument } from '../../../src/deploy/app/check-document.ts';
import { type AppFinding, Findings, sortFindings } from '../../../src/deploy/app/finding.ts';

export const DIGEST = `sha256:${'a'.repeat(64)}`;
export const PINNED = `nginx@${DIGEST}`;

export const document = (fields: Record<string, unknown>): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({ manifest_version: 2, name: 'app', runner: 'docker-compose', key_provider: 'kms', ...fields }),
  );

/** Findings about a compose file, as text or as an object; with `app` also those about its environment and gateway. */
export async function compose(
  content: string | Record<string, unknown>,
  app?: Record<string, unknown>,
): Promise<AppFinding[]> {
  const findings = new Findings();
  const text = typeof content === 'string' ? content : stringify(content);
  await checkComposeText(text, 'file', findings, app === undefined ? {} : { app: parseAppCompose(document(app)) });
  return sortFindings(findings.list);
}

/** Findings about one service with a pinned image. */
export const service = (fields: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  compose({ services: { web: { image: PINNED, ...fields } }, ...more });

export async function app(fields: Record<string, unknown>): Promise<AppFinding[]> {
  const findings = new Findings();
  await checkAppDocument(document(fields), 'app-compose.json', findings);
  return sortFindings(findings.list);
}

/** `level rule where` of each finding. */
export const short = (findings: readonly AppFinding[]): string[] =>
  findings.map(({ level, rule, where }) => `${level} ${rule} ${where}`);
