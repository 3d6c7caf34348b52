/** `app check` and the docker compose of the image look at the same files: what one refuses, the other must, too. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { checkComposeText } from '../../src/deploy/app/check-compose.ts';
import { COMPOSE_KEYS } from '../../src/deploy/app/compose-keys.ts';
import { Findings } from '../../src/deploy/app/finding.ts';
import type { DockerRoom } from './docker-room.ts';

interface Schema {
  properties?: Record<string, Schema>;
  definitions?: Record<string, Schema>;
  oneOf?: Schema[];
  items?: Schema;
}

/** The JSON schema is a part of the program; it begins with its title and ends where its braces close. */
function schemaOf(program: string): Schema {
  const bytes = readFileSync(program);
  const start = bytes.lastIndexOf('{', bytes.indexOf('"$id": "compose_spec.json"'));
  let depth = 0;
  let quoted = false;
  for (let at = start; at < bytes.length; at++) {
    const char = bytes[at];
    if (char === 0x5c) at++;
    else if (char === 0x22) quoted = !quoted;
    else if (!quoted && char === 0x7b) depth++;
    else if (!quoted && char === 0x7d && --depth === 0)
      return JSON.parse(bytes.subarray(start, at + 1).toString('utf8')) as Schema;
  }
  throw new Error(`${program} has no schema`);
}

export function composeSchemaKeys(room: DockerRoom): void {
  const schema = schemaOf(room.composeProgram);
  const definitions = schema.definitions ?? {};
  const service = definitions['service']?.properties ?? {};
  const keys = (value: Schema | undefined) => Object.keys(value?.properties ?? {}).toSorted();
  const object = (value: Schema | undefined) => value?.oneOf?.find((form) => form.properties !== undefined);
  const inSchema = {
    top: keys(schema),
    service: keys(definitions['service']),
    build: keys(object(service['build'])),
    healthcheck: keys(definitions['healthcheck']),
    deploy: keys(definitions['deployment']),
    network: keys(definitions['network']),
    volume: keys(definitions['volume']),
    secret: keys(definitions['secret']),
    config: keys(definitions['config']),
    port: keys(object(service['ports']?.items)),
    mount: keys(object(service['volumes']?.items)),
    logging: keys(service['logging']),
  };
  expect(
    Object.fromEntries(Object.entries(COMPOSE_KEYS).map(([kind, known]) => [kind, [...known].toSorted()])),
  ).toEqual(inSchema);
}

/* biome-ignore-start lint/suspicious/noTemplateCurlyInString: compose's own syntax */
const WEB = 'services: {web: {image: x';
const FILES: readonly string[] = [
  `${WEB}}}`,
  `${WEB}, imag: y}}`,
  `${WEB}, x-mine: y}}`,
  `${WEB}, gpus: all}}`,
  `${WEB}, provider: {type: y}}}`,
  `${WEB}}}\nmodels: {}`,
  `${WEB}}}\nservces: {}`,
  `${WEB}, depends_on: [db]}}`,
  `${WEB}, depends_on: {db: {condition: service_started, required: false}}}}`,
  `${WEB}, depends_on: [web]}}`,
  'services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}',
  `${WEB}, networks: [net]}}`,
  `${WEB}, networks: [net]}}\nnetworks: {net: }`,
  `${WEB}, networks: [default]}}`,
  `${WEB}, network_mode: host, networks: [default]}}`,
  `${WEB}, volumes: ["data:/data"]}}`,
  `${WEB}, volumes: ["data:/data"]}}\nvolumes: {data: }`,
  `${WEB}, volumes: ["/data"]}}`,
  `${WEB}, volumes: [{type: volume, source: data, target: /data}]}}`,
  `${WEB}, configs: [c]}}`,
  `${WEB}, configs: [c]}}\nconfigs: {c: {content: text}}`,
  `${WEB}, secrets: [{source: s}]}}`,
  `${WEB}, secrets: [s]}}\nsecrets: {s: {environment: HOME}}`,
  `${WEB}, extends: base}}`,
  `${WEB}, extends: base}, base: {image: y}}`,
  'services: {web: {}}',
  'services: {web: {build: {context: ., dockerfile_inline: "FROM scratch"}}}',
  `${WEB}, env_file: .env}}`,
  `${WEB}, env_file: [{path: .env, required: false}]}}`,
  'services: {"a b": {image: x}}',
  `${WEB}, command: "echo \${X"}}`,
  `${WEB}, command: "echo $5 $$X \${X:-\${Y:-z}}"}}`,
  `${WEB}, command: "echo \${9}"}}`,
  `${WEB}, command: "echo \${X!y}"}}`,
  `${WEB}, healthcheck: {tests: []}}}`,
  `${WEB}, ports: ["80:80", "127.0.0.1:81:81/udp", {target: 1, published: "82"}]}}`,
  `${WEB}, ports: [{publish: 80, target: 80}]}}`,
  'include: [other.yaml]\nservices: {web: {image: x}}',
  'services: [a]',
  'a: {b: c',
  `${WEB}}}\n---\nservices: {db: {image: y}}`,
];
/* biome-ignore-end lint/suspicious/noTemplateCurlyInString: compose's own syntax */

export async function judgedAlike(room: DockerRoom): Promise<void> {
  for (const [i, text] of FILES.entries()) room.write(`judge/${i}/docker-compose.yaml`, text);
  // each in a folder of its own: nothing lies beside it, as in a guest
  const asked = await room.ok(
    'for i in /judge/*; do (cd $i; docker compose -f docker-compose.yaml config -q >said 2>&1; ' +
      'echo "$(basename $i) $? $(tail -n 1 said | tr -d "\\n")"); done',
  );
  const verdicts = [];
  for (const line of asked.trim().split('\n')) {
    const [, index, status, said] = /^(\d+) (\d+) ?(.*)$/.exec(line) ?? [];
    const text = FILES[Number(index)] ?? '';
    const findings = new Findings();
    await checkComposeText(text, 'file', findings);
    const refused = findings.list.filter(({ level }) => level === 'refused').map(({ rule }) => rule);
    verdicts.push({ text, said, refused, alike: (status !== '0') === refused.length > 0 });
  }
  expect(verdicts).toHaveLength(FILES.length);
  expect(verdicts.filter(({ alike }) => !alike)).toEqual([]);
}
