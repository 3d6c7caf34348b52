/** Table, handlers and document say the same: every method is served, described, and answers in the described form. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MOUNTS, openapiDocument } from '../../../src/agent/openapi/openapi.ts';
import type { AgentService } from '../../../src/agent/openapi/summaries.ts';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { guestApi } from '../../../src/agent/services/guest-api.ts';
import { guestService } from '../../../src/agent/services/guest-service.ts';
import { guestServiceV1 } from '../../../src/agent/services/guest-service-v1.ts';
import { tappdService } from '../../../src/agent/services/tappd-service.ts';
import { workerService } from '../../../src/agent/services/worker-service.ts';
import { workerServiceV1 } from '../../../src/agent/services/worker-service-v1.ts';
import { SERVICES } from '../../../src/codec/prpc-services.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { VERSION } from '../../../src/version.ts';
import { type Guest, makeGuest } from '../canned.ts';
import { ask, askJson } from '../raw-client.ts';

type Json = Record<string, unknown>;
const document = openapiDocument();
const schemas = (document['components'] as { schemas: Record<string, Json> }).schemas;
const paths = document['paths'] as Record<string, Record<string, Json>>;

/** What is wrong with a value, by the part of JSON Schema that the document uses. */
function faults(schema: Json, value: unknown, at = ''): string[] {
  const named = schema['$ref'];
  if (typeof named === 'string') return faults(schemas[named.split('/').at(-1) ?? ''] ?? {}, value, at);
  const kind =
    value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  const types = [schema['type']].flat();
  if (!types.includes(kind)) return [`${at} is ${kind} instead of ${types.join(' or ')}`];
  if (kind === 'array')
    return (value as unknown[]).flatMap((item, i) => faults(schema['items'] as Json, item, `${at}[${i}]`));
  if (kind === 'string' && schema['pattern'] && !new RegExp(schema['pattern'] as string).test(value as string))
    return [`${at} is not ${schema['pattern']}`];
  if (kind !== 'object') return [];
  const properties = (schema['properties'] ?? {}) as Record<string, Json>;
  return [
    ...((schema['required'] ?? []) as string[])
      .filter((key) => !Object.hasOwn(value as Json, key))
      .map((key) => `${at}.${key} is missing`),
    ...Object.entries(value as Json).flatMap(([key, item]) =>
      properties[key] ? faults(properties[key], item, `${at}.${key}`) : [`${at}.${key} is not described`],
    ),
  ];
}

/** A request for each method that needs one to succeed. */
const REQUESTS: Record<string, Json> = {
  GetTlsKey: { subject: 'a', alt_names: ['b'], usage_ra_tls: true, with_app_info: true },
  Sign: { algorithm: 'ed25519', data: '00' },
  'DstackGuestV1.GetKey': { domain: 'a', algorithm: 'ed25519' },
  IssueCert: { subject: 'a', alt_names: ['b'], usage_ra_tls: true, with_app_info: true },
  AttestGpu: { nonce: 'ab'.repeat(32) },

  TdxQuote: { report_data: '00' },
  RawQuote: { report_data: '00'.repeat(64) },
  GetAttestationForAppKey: { algorithm: 'k256' },
};
/** What a canned agent, or a machine without docker, cannot do. */
const REFUSED = ['EmitEvent', 'Shutdown', 'ListContainers', 'AttestGpu'];

describe('the OpenAPI document', () => {
  let guest: Guest;
  let agent: Agent;
  beforeAll(async () => {
    guest = await makeGuest();
    agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
    const signed = JSON.parse((await askJson(guest.dstackSock, '/Sign', { algorithm: 'secp256k1', data: '00' })).body);
    REQUESTS['Verify'] = {
      algorithm: 'secp256k1',
      data: '00',
      signature: signed.signature,
      public_key: signed.public_key,
    };
  });
  afterAll(async () => {
    await agent.stop();
    guest.remove();
  });
  const methods = (Object.keys(MOUNTS) as AgentService[]).flatMap((service) =>
    Object.keys(SERVICES[service]).map((method) => [service, method] as const),
  );

  it('describes the methods of the table and the pages, and nothing else', () => {
    const pages = ['/', '/logs/{container}', '/metrics', '/healthz', '/readyz', '/openapi.json'];
    const calls = methods.map(([service, method]) => MOUNTS[service].prefix + method);
    expect(Object.keys(paths).toSorted()).toEqual([...calls, ...pages].toSorted());
    const ids = Object.values(paths).flatMap((path) =>
      Object.values(path).flatMap((operation) => operation['operationId'] ?? []),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });
  it('refers only to what it defines', () => {
    const refs = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name ?? '',
    );
    for (const name of refs) expect(Object.keys(schemas)).toContain(name);
  });
  it('has a handler for every method', () => {
    const { state } = agent;
    const handlers: Record<AgentService, object> = {
      DstackGuest: guestService(state),
      Tappd: tappdService(state),
      Worker: workerService(state),
      DstackGuestV1: guestServiceV1(state),
      WorkerV1: workerServiceV1(state),
      GuestApi: guestApi(state, { notify: async () => {} }),
    };
    for (const service of Object.keys(MOUNTS) as AgentService[])
      expect(Object.keys(handlers[service]).toSorted()).toEqual(Object.keys(SERVICES[service]).toSorted());
  });
  it.each(methods)('%s.%s answers in the described form', async (service, method) => {
    const target = {
      DstackGuest: guest.dstackSock,
      DstackGuestV1: guest.dstackSock,
      WorkerV1: guest.port,
      Tappd: guest.tappdSock,
      Worker: guest.port,
      GuestApi: guest.guestSock,
    }[service];
    const path = MOUNTS[service].prefix + method;
    const { status, headers, body } = await askJson(
      target,
      path,
      REQUESTS[`${service}.${method}`] ?? REQUESTS[method] ?? {},
    );
    if (status !== 200) expect(REFUSED).toContain(method);
    type Described = { $ref?: string; headers?: Json; content: Record<string, { schema: Json }> };
    const described = paths[path]?.['post']?.['responses'] as Record<string, Described>;
    const named = described[String(status)];
    const shared = openapiDocument()['components'] as { responses: Record<string, Described> };
    const response = named?.$ref === undefined ? named : shared.responses[named.$ref.split('/').at(-1) ?? ''];
    for (const name of Object.keys(headers).filter((header) => header.startsWith('x-error-')))
      expect(response?.headers).toHaveProperty(name);
    const schema = response?.content['application/json']?.schema;
    expect(faults(schema ?? {}, JSON.parse(body))).toEqual([]);
  });
  it('is served', async () => {
    const served = await ask(guest.port, 'GET', '/openapi.json');
    expect(served.headers['content-type']).toBe('application/json');
    expect(JSON.parse(served.body)).toEqual(openapiDocument(VERSION));
  });
});
