/** References inside a compose file that docker compose refuses: to services, networks, volumes, configs and secrets. */
import { isObject } from '../../config/strict-json.ts';
import type { ComposeSource } from '../compose-file.ts';
import type { Findings } from './finding.ts';
import { bare, mountsOf, namesOf, type ServiceFields, sourcesOf } from './shape.ts';

const NAME = /^[a-zA-Z0-9._-]+$/;

export function checkGraph({ services, documents, complete }: ComposeSource, findings: Findings): void {
  const declared = (kind: string) =>
    new Set(documents.flatMap((document) => (isObject(document[kind]) ? Object.keys(document[kind]) : [])));
  const known = {
    networks: declared('networks').add('default'),
    volumes: declared('volumes'),
    configs: declared('configs'),
    secrets: declared('secrets'),
  };
  for (const [name, service] of services) {
    const where = `services.${name}`;
    const undefinedName = (field: string, what: string, wanted: string) =>
      findings.add('refused', 'undefined', `${where}.${field}`, `${what} ${wanted} is not defined in this file`);
    if (!NAME.test(name))
      findings.add(
        'refused',
        'service-name',
        where,
        'names of services have letters, digits, dot, dash and underscore',
      );
    // what is included may define all of them
    if (!complete) continue;
    // also with required: false, which is about services of a profile
    for (const other of namesOf(service['depends_on']))
      if (!services.has(other)) undefinedName('depends_on', 'service', other);
    for (const network of namesOf(service['networks']))
      if (!known.networks.has(network)) undefinedName('networks', 'network', network);
    for (const { kind, source } of mountsOf(service['volumes']))
      if (kind === 'volume' && source !== '' && !known.volumes.has(source)) undefinedName('volumes', 'volume', source);
    for (const kind of ['configs', 'secrets'] as const)
      for (const source of sourcesOf(service[kind]))
        if (!known[kind].has(source)) undefinedName(kind, kind.slice(0, -1), source);
    const { image, build, extends: base, provider } = service;
    const from = isObject(base) ? bare(base['service']) : bare(base);
    if (from !== '' && !(isObject(base) && base['file'] !== undefined) && !services.has(from))
      undefinedName('extends', 'service', from);
    if ([image, build, base, provider].every((value) => value === undefined || value === null))
      findings.add('refused', 'no-image', where, 'it has neither an image nor a build section');
    if (typeof service['network_mode'] === 'string' && namesOf(service['networks']).length > 0)
      findings.add('refused', 'network-mode', where, 'network_mode and networks exclude each other');
  }
  if (complete) cycle(services, findings);
}

function cycle(services: ReadonlyMap<string, ServiceFields>, findings: Findings): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): boolean => {
    if (path.includes(name)) {
      const round = [...path.slice(path.indexOf(name)), name].join(' -> ');
      findings.add('refused', 'cycle', `services.${name}.depends_on`, `the services wait for each other: ${round}`);
      return true;
    }
    if (done.has(name)) return false;
    done.add(name);
    return namesOf(services.get(name)?.['depends_on']).some(
      (other) => services.has(other) && visit(other, [...path, name]),
    );
  };
  for (const name of services.keys()) if (!done.has(name) && visit(name, [])) return;
}
