/** Everything that can be said about a compose file without starting it. */
import type { AppCompose } from '../../config/app-compose.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { type ComposeSource, parseCompose } from '../compose-file.ts';
import { checkAccess } from './check-access.ts';
import { checkFiles } from './check-files.ts';
import { checkGraph } from './check-graph.ts';
import { checkKeys } from './check-keys.ts';
import { checkPorts } from './check-ports.ts';
import { checkInterpolation, checkVariables } from './check-variables.ts';
import type { Findings } from './finding.ts';
import { type AppImage, appImages, checkImages, suggestDigests } from './images.ts';
import { composeVariables, type VariableReport } from './variables.ts';

export interface ComposeCheck {
  readonly source: ComposeSource;
  readonly images: readonly AppImage[];
  readonly report: VariableReport;
}

export interface ComposeCheckOptions {
  /** the document that it belongs to; without one its environment and gateway are not judged */
  readonly app?: AppCompose;
  /** docker compose of the image */
  readonly composeVersion?: string;
  /** ask the docker of this machine for digests */
  readonly suggest?: boolean;
}

/** @returns undefined when the text cannot be read at all, which is a finding as well */
export async function checkComposeText(
  text: string,
  where: string,
  findings: Findings,
  { app, composeVersion, suggest = false }: ComposeCheckOptions = {},
): Promise<ComposeCheck | undefined> {
  let source: ComposeSource;
  try {
    source = await parseCompose(text, where);
  } catch (thrown) {
    if (!(thrown instanceof DstackError)) throw thrown;
    findings.add('refused', thrown.code, where, errorChain(thrown), 'correct the compose file');
    return undefined;
  }
  const report = composeVariables(source);
  const images = suggest ? await suggestDigests(appImages(source)) : appImages(source);
  checkKeys(source, findings, composeVersion);
  checkInterpolation(report, findings);
  checkGraph(source, findings);
  checkFiles(source, findings);
  checkImages(images, findings);
  checkAccess(
    source,
    findings,
    app?.agentSockets.map(({ name }) => `/run/dstack/scoped/${name}.sock`),
  );
  checkPorts(source, findings, app);
  if (app !== undefined) checkVariables(report, app, findings);
  if (app?.runner === 'nerdctl-compose') {
    for (const [name, { build }] of source.services) {
      if (build === undefined || build === null) continue;
      const text = 'runner nerdctl-compose cannot build images';
      findings.add(
        'refused',
        'COMPOSE_INVALID',
        `services.${name}.build`,
        text,
        'name a finished image, or use runner docker-compose',
      );
    }
  }
  return { source, images, report };
}
