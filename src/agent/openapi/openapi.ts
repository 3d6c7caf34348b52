/**
 * The OpenAPI 3.1 document of all services, made from the tables that the transport itself works from (codec,
 * prpc-messages and prpc-services), so that it cannot say anything else than what is served.
 */
import { type Field, fieldsOf, type MessageName } from '../../codec/prpc-messages.ts';
import { type MethodShape, SERVICES } from '../../codec/prpc-services.ts';
import { type AgentService, SUMMARIES } from './summaries.ts';

type Json = Record<string, unknown>;

/** Where each service is served: the path before the method, and how to reach it. */
export const MOUNTS: { readonly [S in AgentService]: { readonly prefix: string; readonly where: string } } = {
  DstackGuest: { prefix: '/', where: 'unix socket /run/dstack.sock, for the containers of the app' },
  DstackGuestV1: { prefix: '/v1/', where: 'unix socket /run/dstack.sock, guest API v1 for the containers of the app' },
  Tappd: { prefix: '/prpc/Tappd.', where: 'unix socket /run/tappd.sock, the older interface for the app' },
  Worker: { prefix: '/prpc/Worker.', where: 'TCP port 8090, for everybody' },
  WorkerV1: { prefix: '/prpc/v1/', where: 'TCP port 8090, guest API v1 for everybody' },
  GuestApi: { prefix: '/api/', where: 'vsock port 8000, for the host' },
};

const BYTES = { type: 'string', pattern: '^[0-9a-f]*$', description: 'bytes as hex' };
const SCALARS: Record<string, Json> = {
  string: { type: 'string' },
  bytes: BYTES,
  bool: { type: 'boolean' },
  u32: { type: 'integer', minimum: 0, maximum: 0xffff_ffff },
  u64: { type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  i64: { type: 'integer', format: 'int64' },
};

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

function fieldSchema(field: Field): Json {
  const one = typeof field.type === 'object' ? ref(field.type.message) : { ...SCALARS[field.type] };
  if (field.repeated) return { type: 'array', items: one };
  return field.optional ? { ...one, type: [one['type'], 'null'] } : one;
}

/** @param answered messages that we send hold every field; those we take may leave any out */
function messageSchema(name: MessageName, answered: boolean): Json {
  if (name === 'Empty') return { type: 'null', description: 'nothing' };
  const fields = [...fieldsOf(name)];
  const properties = Object.fromEntries(fields.map(([key, field]) => [key, fieldSchema(field)]));
  const required = fields.filter(([, field]) => !field.omitEmpty).map(([key]) => key);
  return { type: 'object', properties, ...(answered && required.length > 0 ? { required } : {}) };
}

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
  Denied: failure('a scoped socket does not allow the method'),
  Unsupported: failure('this image cannot attest GPUs'),
  Busy: failure('the agent is busy; Retry-After says when to try again'),
};

const failed = (name: keyof typeof FAILURES): Json => ({ $ref: `#/components/responses/${name}` });

function answers(method: string, response: MessageName): Json {
  return {
    '200': {
      description: 'done',
      content: { 'application/json': { schema: ref(response) }, 'application/octet-stream': binary(response) },
    },
    '400': failed('Failed'),
    '403': failed('Denied'),
    ...(method === 'AttestGpu' ? { '501': failed('Unsupported') } : {}),
    '503': failed('Busy'),
  };
}

/** Query parameters of the GET form; messages inside messages do not occur in requests. */
function parameters(request: MessageName): Json[] {
  return [...fieldsOf(request)].map(([key, field]) => ({
    name: field.repeated ? `${key}[]` : key,
    in: 'query',
    required: false,
    schema: fieldSchema({ ...field, optional: undefined as never }),
  }));
}

function operations(service: AgentService, method: string, { request, response }: MethodShape): Json {
  const common = { tags: [service], summary: (SUMMARIES[service] as Record<string, string>)[method] };
  const body = {
    required: false,
    content: { 'application/json': { schema: ref(request) }, 'application/octet-stream': binary(request) },
  };
  return {
    get: {
      ...common,
      operationId: `${service}_${method}_get`,
      ...(request === 'Empty' ? {} : { parameters: parameters(request) }),
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

/** Routes of the public port that are not RPC. */
function pages(): Json {
  const page = (summary: string, responses: Json, more: Json = {}) => ({
    get: { tags: ['pages'], summary, ...more, responses },
  });
  const json = (description: string) => ({
    description,
    content: { 'application/json': { schema: { type: 'object' } } },
  });
  const container = { name: 'container', in: 'path', required: true, schema: { type: 'string' } };
  const query = LOG_PARAMETERS.map((name) => ({ name, in: 'query', required: false, schema: { type: 'string' } }));
  return {
    '/': page('The page of the app', text('HTML', 'text/html')),
    '/logs/{container}': page('Log of a container, if the app made logs public', text('log', 'text/plain'), {
      parameters: [container, ...query],
    }),
    '/metrics': page('Figures for Prometheus, if the app made them public', text('metrics', 'text/plain')),
    '/healthz': page('Whether the agent answers', { '200': json('it does') }),
    '/readyz': page('Whether the app can be served, and every listener', {
      '200': json('ready'),
      '503': json('not ready'),
    }),
    '/openapi.json': page('This document', { '200': json('OpenAPI 3.1') }),
  };
}

const AGENT_SERVICES = Object.keys(MOUNTS) as AgentService[];
const methodsOf = (service: AgentService) => Object.entries(SERVICES[service] as Record<string, MethodShape>);

/** The messages of one direction, also those inside others. */
function messages(direction: keyof MethodShape): ReadonlySet<MessageName> {
  const found = new Set<MessageName>();
  const visit = (name: MessageName): void => {
    found.add(name);
    for (const [, { type }] of fieldsOf(name)) if (typeof type === 'object') visit(type.message as MessageName);
  };
  for (const service of AGENT_SERVICES) for (const [, shape] of methodsOf(service)) visit(shape[direction]);
  return found;
}

/** @param version of this build; the committed document says `0` */
export function openapiDocument(version = '0'): Json {
  const paths: Json = {};
  for (const service of AGENT_SERVICES)
    for (const [method, shape] of methodsOf(service))
      paths[MOUNTS[service].prefix + method] = operations(service, method, shape);
  const answered = messages('response');
  const schemas: Json = {};
  for (const name of new Set([...messages('request'), ...answered]))
    schemas[name] = messageSchema(name, answered.has(name));
  schemas['Failure'] = { type: 'object', properties: { error: { type: 'string' } }, required: ['error'] };
  const tags = Object.entries(MOUNTS).map(([name, { where }]) => ({ name, description: where }));
  return {
    openapi: '3.1.0',
    info: {
      title: 'dstack guest agent',
      version,
      description:
        'JSON is chosen by GET, by ?json or by the content type application/json; everything else is protobuf. Each tag is ' +
        'served on a listener of its own; the scoped sockets of the app serve DstackGuest, DstackGuestV1 and Tappd as far as ' +
        'their rule goes. DstackGuest is also served below /v0, Worker below /prpc/v0.',
    },
    tags: [...tags, { name: 'pages', description: 'TCP port 8090, for people and machines' }],
    paths: { ...paths, ...pages() },
    components: { schemas, responses: FAILURES },
  };
}
