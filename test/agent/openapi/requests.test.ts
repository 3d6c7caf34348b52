/**
 * The agent and its document, held against each other: what the document allows is answered as it says, what it does not
 * allow is refused as it says. Requests are made from the document alone, with a fixed seed.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MOUNTS, openapiDocument } from '../../../src/agent/openapi/openapi.ts';
import type { AgentService } from '../../../src/agent/openapi/summaries.ts';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { SERVICES } from '../../../src/codec/prpc-services.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { type Guest, makeGuest } from '../canned.ts';
import { ask, askJson, type RawAnswer } from '../raw-client.ts';
import { allowed, type Json, spoiled } from './generate.ts';

interface Parameter {
  readonly name: string;
  readonly required: boolean;
  readonly schema: Json;
}
interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { content: Record<string, { schema: { $ref: string } }> };
  readonly responses: Record<string, { $ref?: string; content?: Record<string, { schema: Json }> }>;
  readonly 'x-refusals'?: readonly string[];
}

const document = openapiDocument() as { paths: Record<string, Record<'get' | 'post', Operation>>; components: Json };
// the keywords are judged by the linter; here the values are
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(document as Json, 'doc');

/** The part of the document that a reference names. */
const at = (reference: string): Json =>
  reference
    .slice(2)
    .split('/')
    .reduce<Json>((here, key) => here[key] as Json, document as unknown as Json);
const validator = (reference: string) => ajv.compile({ $ref: `doc${reference}` });

const RUNS = { numRuns: 15, seed: 20_261_130, endOnFailure: true };
const SLOW = 120_000;

let guest: Guest;
let agent: Agent;
beforeAll(async () => {
  guest = await makeGuest({ compose: { public_logs: true, public_sysinfo: true } });
  agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  expect(agent.state.backend.kind).toBe('canned'); // Shutdown is among what is asked
});
afterAll(async () => {
  await agent.stop();
  guest.remove();
});

const target = (service: AgentService): string | number => {
  if (service === 'Worker' || service === 'WorkerV1') return guest.port;
  if (service === 'GuestApi') return guest.guestSock;
  return service === 'Tappd' ? guest.tappdSock : guest.dstackSock;
};

/** The schema of the JSON form of an answer, wherever the document keeps it. */
function answerSchema(operation: Operation, status: number): string {
  const found = operation.responses[status];
  if (found === undefined) throw new Error(`status ${status} is not documented`);
  const { content } = (found.$ref === undefined ? found : at(found.$ref)) as Operation['responses'][string];
  const schema = content?.['application/json']?.schema;
  if (schema === undefined) throw new Error(`status ${status} has no JSON form`);
  return String(schema['$ref']);
}

/** A refusal that the schema cannot express happens only for its reason. */
const REASONS: Record<string, (request: Json) => boolean> = {
  INPUT_INVALID: ({ not_before: from = 0, not_after: to = 0, algorithm }) =>
    Number(from) >= Number(to) || algorithm === 'secp256k1_prehashed',
  REPORT_DATA_INVALID: ({ hash_algorithm }) => hash_algorithm === 'raw',
};

function expectAnswer(operation: Operation, answer: RawAnswer, request: Json): void {
  const shown = `${JSON.stringify(request)} -> ${answer.status} ${answer.body.slice(0, 300)}`;
  const matches = validator(answerSchema(operation, answer.status));
  expect(matches(JSON.parse(answer.body)), `${shown}\n${ajv.errorsText(matches.errors)}`).toBe(true);
  if (answer.status === 200 || answer.status === 501) return;
  const code = answer.headers['x-error-code'] ?? '';
  expect(operation['x-refusals'] ?? [], shown).toContain(code);
  expect(REASONS[code]?.(request) ?? true, shown).toBe(true);
}

function expectRefusal(operation: Operation, answer: RawAnswer, request: unknown): void {
  const shown = `${JSON.stringify(request)} -> ${answer.status} ${answer.body.slice(0, 300)}`;
  expect(answer.status, shown).toBe(400);
  const matches = validator(answerSchema(operation, 400));
  expect(matches(JSON.parse(answer.body)), shown).toBe(true);
  expect(answer.headers['x-error-code'], shown).toMatch(/^[A-Z][A-Z0-9_]+$/);
}

/** Query text of a request, lists as `name[]`. */
const queryOf = (request: Json): string =>
  Object.entries(request)
    .flatMap(([name, value]) =>
      [value].flat().map((each) => `${encodeURIComponent(name)}=${encodeURIComponent(String(each))}`),
    )
    .join('&');

const methods = (Object.keys(MOUNTS) as AgentService[]).flatMap((service) =>
  Object.keys(SERVICES[service]).map((method) => [service, MOUNTS[service].prefix + method] as const),
);

describe.each(methods)('%s %s', { timeout: SLOW }, (service, path) => {
  const { get, post } = document.paths[path] as Record<'get' | 'post', Operation>;
  const reference = post.requestBody?.content['application/json']?.schema.$ref;
  const schema = reference === undefined ? undefined : at(reference);
  const properties = (schema?.['properties'] ?? {}) as Record<string, Json>;

  it('takes every body that the document allows', async () => {
    if (schema === undefined || reference === undefined) {
      expectAnswer(post, await askJson(target(service), path), {});
      return;
    }
    const valid = validator(reference);
    const requests = (allowed(schema, at) as fc.Arbitrary<Json>).filter((request) => valid(request));
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expectAnswer(post, await askJson(target(service), path, request), request);
      }),
      RUNS,
    );
  });

  if (Object.keys(properties).length > 0)
    it('refuses every other body', async () => {
      const valid = validator(reference ?? '');
      const requests = allowed(schema ?? {}, at) as fc.Arbitrary<Json>;
      const wrong = spoiled(properties, requests).filter((request) => !valid(request));
      await fc.assert(
        fc.asyncProperty(wrong, async (request) => {
          expectRefusal(post, await askJson(target(service), path, request), request);
        }),
        RUNS,
      );
      for (const body of ['[]', '1', '{', '"x"'])
        expectRefusal(post, await ask(target(service), 'POST', `${path}?json`, body), body);
    });

  const parameters = get.parameters ?? [];
  it('takes every query that the document allows', async () => {
    const model = Object.fromEntries(parameters.map(({ name, schema: each }) => [name, allowed(each, at)]));
    const requiredKeys = parameters.flatMap(({ name, required }) => (required ? [name] : []));
    const rules = parameters.map(({ name, schema: each }) => [name, ajv.compile(each)] as const);
    const requests = fc
      .record(model, { requiredKeys })
      .filter((request) => rules.every(([name, valid]) => request[name] === undefined || valid(request[name])));
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expectAnswer(get, await ask(target(service), 'GET', `${path}?${queryOf(request)}`), request);
      }),
      { ...RUNS, numRuns: parameters.length === 0 ? 1 : RUNS.numRuns },
    );
  });

  const strict = parameters.filter(({ schema: { type, enum: names, pattern, anyOf } }) =>
    type === 'array' ? false : type !== 'string' || (names ?? pattern ?? anyOf) !== undefined,
  );
  if (strict.length > 0)
    it('refuses every other query', async () => {
      const others = ['x', '-1', '1.5', 'yes', 'abc', 'é', 'ab'.repeat(65)];
      const filled = Object.fromEntries(
        parameters
          .filter(({ required }) => required)
          .map((one) => [one.name, fc.sample(allowed(one.schema, at), { numRuns: 1, seed: 1 })[0]]),
      );
      for (const { name, schema: each } of strict) {
        const valid = ajv.compile(each);
        const read = (text: string) => (each['type'] === 'integer' ? Number(text) : text);
        for (const value of others.filter((text) => !valid(read(text)))) {
          const request = { ...filled, [name]: value };
          expectRefusal(get, await ask(target(service), 'GET', `${path}?${queryOf(request)}`), request);
        }
      }
    });

  it('has no other methods, and says which it has', async () => {
    for (const method of ['TRACE', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const answer = await ask(target(service), method, path);
      expect([method, answer.status, answer.headers['allow']]).toEqual([method, 405, 'GET, HEAD, POST']);
      expect(JSON.parse(answer.body)).toEqual({ error: `${method} is not allowed here: use GET, HEAD, POST` });
    }
  });
});

describe('pages', { timeout: SLOW }, () => {
  const pages = Object.entries(document.paths).filter(([, { post }]) => post === undefined);
  it.each(pages)('%s answers as documented, to GET and HEAD only', async (path, { get }) => {
    for (const container of ['web', '%27%C2%89x', '%00', 'a%2Fb', '%']) {
      const answer = await ask(guest.port, 'GET', path.replace('{container}', container));
      const documented = get.responses[answer.status];
      expect(documented, `${path} ${container}: ${answer.status}`).toBeDefined();
      const type = answer.headers['content-type']?.split(';')[0];
      if (answer.status === 200) expect(Object.keys(documented?.content ?? {})).toContain(type);
    }
    for (const method of ['TRACE', 'POST', 'PUT'])
      expect(await ask(guest.port, method, path.replace('{container}', 'web'))).toMatchObject({
        status: 405,
        headers: { allow: 'GET, HEAD' },
      });
  });
});
