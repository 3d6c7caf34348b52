/** redocly's recommended rules find nothing to say about the document. */
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { expect, it } from 'vitest';
import { openapiDocument } from '../../../src/agent/openapi/openapi.ts';

const lint = async (document: object) => {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: JSON.stringify(document), config });
  return problems.map(({ severity, ruleId, message, location }) => [
    severity,
    ruleId,
    message,
    location[0] && 'pointer' in location[0] ? location[0].pointer : '',
  ]);
};

it('the OpenAPI document has neither errors nor warnings', { timeout: 60_000 }, async () => {
  expect(await lint(openapiDocument('0.1.0'))).toEqual([]);
});

it('the linter sees what was wrong before', { timeout: 60_000 }, async () => {
  const { security: _, servers: __, ...bare } = openapiDocument('0.1.0') as Record<string, unknown>;
  const rules = new Set((await lint(bare)).map(([, rule]) => rule));
  expect(rules).toEqual(new Set(['security-defined', 'no-empty-servers']));
});
