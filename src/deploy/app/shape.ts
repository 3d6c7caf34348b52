/** The forms in which a compose file may write the same thing, brought into one. */
import { isObject } from '../../config/strict-json.ts';
import { interpolation } from './interpolation.ts';

export type ServiceFields = Readonly<Record<string, unknown>>;

/** A string with the defaults of its variables filled in; of other values their text. */
export const bare = (value: unknown): string =>
  typeof value === 'string' ? interpolation(value).bare : typeof value === 'number' ? String(value) : '';

/** A single string, or a list of strings. */
export function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [bare(value)];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string').map(bare) : [];
}

/** The names of a list, or the keys of a mapping: depends_on, networks. */
export const namesOf = (value: unknown): string[] => (isObject(value) ? Object.keys(value) : stringsOf(value));

/** References of a service to configs or secrets: a name, or a mapping with `source`. */
export const sourcesOf = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.map((item) => (isObject(item) ? bare(item['source']) : bare(item))).filter((name) => name !== '')
    : [];

export interface ServiceMount {
  readonly kind: string;
  /** defaults filled in; empty for an anonymous volume */
  readonly source: string;
  /** as it is written: does a variable without a default decide where it comes from? */
  readonly fromVariable: boolean;
  readonly target: string;
  /** docker makes the folder when it is missing */
  readonly creates: boolean;
}

/** `volumes` of a service, in the short and the long form. */
export function mountsOf(value: unknown): ServiceMount[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item): ServiceMount[] => {
    if (typeof item === 'string') {
      const text = interpolation(item).bare;
      const [source = '', target] = text.split(':');
      if (target === undefined)
        return [{ kind: 'volume', source: '', fromVariable: false, target: source, creates: true }];
      const fromVariable = source === '' && item.startsWith('$');
      const kind = fromVariable || /^[./~]/.test(source) ? 'bind' : 'volume';
      return [{ kind, source, fromVariable, target, creates: true }];
    }
    if (!isObject(item)) return [];
    const bind = item['bind'];
    const written = item['source'];
    const source = bare(written);
    return [
      {
        kind: bare(item['type']),
        source,
        fromVariable: typeof written === 'string' && source === '' && written.startsWith('$'),
        target: bare(item['target']),
        creates: isObject(bind) && String(bind['create_host_path']) === 'true',
      },
    ];
  });
}

export interface PublishedPort {
  /** first and last port of the guest; undefined = docker chooses one */
  readonly host?: readonly [number, number];
  readonly ip: string;
  readonly protocol: string;
}

/** `ports` of a service, in the short form (`[ip:][host:]container[/protocol]`, ranges) and the long one. */
export function portsOf(value: unknown): PublishedPort[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item): PublishedPort[] => {
    if (isObject(item)) {
      const host = rangeOf(bare(item['published']));
      const protocol = bare(item['protocol']) || 'tcp';
      return [{ ...(host === undefined ? {} : { host }), ip: bare(item['host_ip']), protocol }];
    }
    const [text = '', protocol = 'tcp'] = bare(item).split('/');
    const parts = /^(?:(?:(\[[^\]]*\]|[^:]*):)?([\d-]*):)?([\d-]+)$/.exec(text);
    if (parts === null) return [];
    const host = rangeOf(parts[2] ?? '');
    const ip = (parts[1] ?? '').replace(/^\[|\]$/g, '');
    return [{ ...(host === undefined ? {} : { host }), ip, protocol }];
  });
}

function rangeOf(text: string): [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2] ?? match[1])];
}
