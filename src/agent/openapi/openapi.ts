/**
 * The OpenAPI 3.1 document of all services, made from the tables that the transport itself works from (codec,
 * prpc-messages and prpc-services), so that it cannot say anything else than what is served.
 */
import { fieldsOf, type MessageName } from '../../codec/prpc-messages.ts';
import { type MethodShape, SERVICES } from '../../codec/prpc-services.ts';
import { REQUEST_RULES, type RequestRule } from './request-rules.ts';
import { answerSchema, type Json, queryParameters, ref, requestSchema } from './schemas.ts';
import { type AgentService, SUMMARIES } from './summaries.ts';

/** Where each service is served: the path before the method, and how to reach it. */
export const MOUNTS: { readonly [S in AgentService]: { readonly prefix: string; readonly where: string } } = {
  DstackGuest: { prefix: '/', where: 'unix socket /run/dstack.sock, for the containers of the app' },
  DstackGuestV1: { prefix: '/v1/', where: 'unix socket /run/dstack.sock, guest API v1 for the containers of the app' },
  Tappd: { prefix: '/prpc/Tappd.', where: 'unix socket /run/tappd.sock, the older interface for the app' },
  Worker: { prefix: '/prpc/Worker.', where: 'TCP port 8090, for everybody' },
  WorkerV1: { prefix: '/prpc/v1/', where: 'TCP port 8090, guest API v1 for everybody' },
  GuestApi: { prefix: '/api/', where: 'vsock port 8000, for the host' },
};

const binary = (name: string): Json => ({
  schema: { type: 'string', format: 'binary', description: `protobuf message ${name}` },
});

const failure = (description: string): Json => ({
  description,
  headers: {
    'x-error-code': { schema: { type: 'string' }, description: 'a stable code', required: true },
    'x-error-field': { schema: { type: 'string' }, description: 'what of the request it is about, if that is known' },
  },
  content: { 'application/json': { schema: ref('Failure') }, 'application/octet-stream': binary('RpcError') },
});

/** Answers that methods share. */
const FAILURES = {
  Failed: failure('the request or what it asked for failed; the text is the whole chain of causes'),
  Missing: { description: 'the app did not make this public, or the path is not one of this route' },
  Denied: failure('a scoped socket does not allow the method'),
  Unsupported: failure('this image cannot attest GPUs'),
  Busy: failure('the agent is busy; Retry-After says when to try again'),
};

const shared = (name: keyof typeof FAILURES): Json => ({ $ref: `#/components/responses/${name}` });

function answers(method: string, response: MessageName): Json {
  return {
    '200': {
      description: 'done',
      content: { 'application/json': { schema: ref(response) }, 'application/octet-stream': binary(response) },
    },
    '400': shared('Failed'),
    '403': shared('Denied'),
    ...(method === 'AttestGpu' ? { '501': shared('Unsupported') } : {}),
    '503': shared('Busy'),
  };
}

const ruleOf = (service: AgentService, method: string): RequestRule => REQUEST_RULES[`${service}.${method}`] ?? {};

/**
 * The name under which the schema of a request stands: that of its message, or of the method where the rules for the same
 * message differ.
 */
function requestName(service: AgentService, method: string, { request }: MethodShape): string {
  const { fields } = ruleOf(service, method);
  const first = AGENT_SERVICES.flatMap((other) =>
    methodsOf(other).map(([name, shape]) => [other, name, shape] as const),
  ).find(([, , shape]) => shape.request === request);
  const same = first !== undefined && ruleOf(first[0], first[1]).fields === fields;
  return same ? request : `${service}_${method}_request`;
}

function operations(service: AgentService, method: string, shape: MethodShape): Json {
  const { request, response } = shape;
  const rule = ruleOf(service, method);
  const refusals = Object.entries(rule.refusals ?? {});
  const common = {
    tags: [service],
    summary: (SUMMARIES[service] as Record<string, string>)[method],
    ...(refusals.length === 0
      ? {}
      : {
          description: `Refused besides: ${refusals.map(([code, why]) => `${code}: ${why}`).join('; ')}.`,
          'x-refusals': refusals.map(([code]) => code),
        }),
  };
  const name = requestName(service, method, shape);
  const body = {
    required: (requestSchema(request, rule)['required'] ?? null) !== null,
    content: { 'application/json': { schema: ref(name) }, 'application/octet-stream': binary(request) },
  };
  const empty = fieldsOf(request).size === 0;
  return {
    get: {
      ...common,
      operationId: `${service}_${method}_get`,
      ...(empty ? {} : { parameters: queryParameters(request, rule) }),
      responses: answers(method, response),
    },
    post: {
      ...common,
      operationId: `${service}_${method}`,
      ...(request === 'Empty' ? {} : { requestBody: body }),
      responses: answers(method, response),
    },
  };
}

const text = (description: string, type: string): Json => ({
  '200': { description, content: { [type]: { schema: { type: 'string' } } } },
});

const LOG_PARAMETERS = ['since', 'until', 'follow', 'text', 'bare', 'timestamps', 'tail', 'ansi'];

/** Routes of the public port that are not RPC. A request that is not one of HTTP gets 400 everywhere. */
function pages(): Json {
  const busy = { '503': shared('Busy') };
  const page = (operationId: string, summary: string, responses: Json, more: Json = {}) => ({
    get: {
      tags: ['pages'],
      operationId,
      summary,
      ...more,
      responses: { ...responses, '400': shared('Failed'), ...busy },
    },
  });
  const json = (description: string) => ({
    description,
    content: { 'application/json': { schema: { type: 'object' } } },
  });
  const container = { name: 'container', in: 'path', required: true, schema: { type: 'string', minLength: 1 } };
  const query = LOG_PARAMETERS.map((name) => ({ name, in: 'query', required: false, schema: { type: 'string' } }));
  const hidden = { '404': shared('Missing') };
  return {
    '/': page('page', 'The page of the app', text('HTML', 'text/html')),
    '/logs/{container}': page(
      'logs',
      'Log of a container, if the app made logs public',
      { ...text('log', 'text/plain'), ...hidden },
      { parameters: [container, ...query] },
    ),
    '/metrics': page('metrics', 'Figures for Prometheus, if the app made them public', {
      ...text('metrics', 'text/plain'),
      ...hidden,
    }),
    '/healthz': page('healthz', 'Whether the agent answers', { '200': json('it does') }),
    '/readyz': {
      get: {
        tags: ['pages'],
        operationId: 'readyz',
        summary: 'Whether the app can be served, and every listener',
        responses: { '200': json('ready'), '400': shared('Failed'), '503': json('not ready, or busy') },
      },
    },
    '/openapi.json': page('openapi', 'This document', { '200': json('OpenAPI 3.1') }),
  };
}

const AGENT_SERVICES = Object.keys(MOUNTS) as AgentService[];
const methodsOf = (service: AgentService) => Object.entries(SERVICES[service] as Record<string, MethodShape>);

/** The messages of answers, also those inside others. */
function answeredMessages(): ReadonlySet<MessageName> {
  const found = new Set<MessageName>();
  const visit = (name: MessageName): void => {
    found.add(name);
    for (const [, { type }] of fieldsOf(name)) if (typeof type === 'object') visit(type.message as MessageName);
  };
  for (const service of AGENT_SERVICES) for (const [, shape] of methodsOf(service)) visit(shape.response);
  return found;
}

/** @param version of this build; the committed document says `0` */
export function openapiDocument(version = '0'): Json {
  const paths: Json = {};
  for (const service of AGENT_SERVICES)
    for (const [method, shape] of methodsOf(service))
      paths[MOUNTS[service].prefix + method] = operations(service, method, shape);
  const schemas: Json = {};
  for (const name of answeredMessages()) schemas[name] = answerSchema(name);
  for (const service of AGENT_SERVICES)
    for (const [method, shape] of methodsOf(service))
      if (shape.request !== 'Empty')
        schemas[requestName(service, method, shape)] ??= requestSchema(shape.request, ruleOf(service, method));
  schemas['Failure'] = { type: 'object', properties: { error: { type: 'string' } }, required: ['error'] };
  const tags = Object.entries(MOUNTS).map(([name, { where }]) => ({ name, description: where }));
  return {
    openapi: '3.1.0',
    info: {
      title: 'dstack guest agent',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'JSON is chosen by GET, by ?json or by the content type application/json; everything else is protobuf. Each tag is ' +
        'served on a listener of its own; the scoped sockets of the app serve DstackGuest, DstackGuestV1 and Tappd as far as ' +
        'their rule goes. DstackGuest is also served below /v0, Worker below /prpc/v0. HEAD answers as GET does, without ' +
        'content; other methods of HTTP get 405 with Allow. Text is Unicode: half of a surrogate pair is refused. No method ' +
        'asks who calls: whoever reaches a listener may use it.',
    },
    servers: [{ url: '/', description: 'each listener; a unix socket by curl --unix-socket PATH http://dstack/...' }],
    security: [],
    tags: [...tags, { name: 'pages', description: 'TCP port 8090, for people and machines' }],
    paths: { ...paths, ...pages() },
    components: { schemas, responses: FAILURES },
  };
}
