/** Keys of a compose file that the docker compose of the image does not know: it would refuse the file. */
import { isObject } from '../../config/strict-json.ts';
import type { ComposeSource } from '../compose-file.ts';
import { COMPOSE_KEYS, type ComposeObject, KNOWN_COMPOSE, LATER_KEYS } from './compose-keys.ts';
import type { Findings } from './finding.ts';

/** @param version docker compose of the image, such as `2.26.1` */
export function checkKeys({ documents }: ComposeSource, findings: Findings, version = KNOWN_COMPOSE): void {
  const judge = (value: unknown, kind: ComposeObject, where: string) => {
    if (!isObject(value)) return;
    for (const key of Object.keys(value)) {
      if (key.startsWith('x-') || COMPOSE_KEYS[kind].has(key)) continue;
      const place = where === '' ? key : `${where}.${key}`;
      const since = LATER_KEYS[kind]?.[key];
      if (since !== undefined && !isBefore(version, since)) continue;
      // a newer program may know keys that this table does not
      const level = since === undefined && isBefore(KNOWN_COMPOSE, version) ? 'warning' : 'refused';
      const text =
        since === undefined
          ? `docker compose ${level === 'warning' ? KNOWN_COMPOSE : version} does not know the key ${key}`
          : `needs docker compose ${since}, and the image has ${version}`;
      findings.add(level, 'compose-key', place, text, 'correct or remove the key; keys that begin with x- are ignored');
    }
  };
  const each = (value: unknown, kind: ComposeObject, where: string) => {
    if (!isObject(value)) return;
    for (const [name, item] of Object.entries(value)) judge(item, kind, `${where}.${name}`);
  };
  for (const document of documents) {
    judge(document, 'top', '');
    each(document['services'], 'service', 'services');
    each(document['networks'], 'network', 'networks');
    each(document['volumes'], 'volume', 'volumes');
    each(document['secrets'], 'secret', 'secrets');
    each(document['configs'], 'config', 'configs');
    if (!isObject(document['services'])) continue;
    for (const [name, service] of Object.entries(document['services'])) {
      if (!isObject(service)) continue;
      const where = `services.${name}`;
      for (const kind of ['build', 'healthcheck', 'deploy', 'logging'] as const)
        judge(service[kind], kind, `${where}.${kind}`);
      for (const [field, kind] of [
        ['ports', 'port'],
        ['volumes', 'mount'],
      ] as const) {
        const items = service[field];
        if (Array.isArray(items)) items.forEach((item, i) => void judge(item, kind, `${where}.${field}[${i}]`));
      }
    }
  }
}

/** Whether release `a` is older than `b`; what follows the three numbers does not count. */
function isBefore(a: string, b: string): boolean {
  const numbers = (text: string) => text.split(/[^0-9]+/, 3).map(Number);
  const [x, y] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) < (y[i] ?? 0);
  return false;
}
