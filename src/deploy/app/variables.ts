/** The variables that a compose file takes from the environment of the app, with the places that use them. */
import { isObject } from '../../config/strict-json.ts';
import type { ComposeSource } from '../compose-file.ts';
import { interpolation } from './interpolation.ts';

export interface ComposeVariable {
  readonly name: string;
  /** fields that use it, such as `services.web.image`; at most a few */
  readonly places: readonly string[];
  /** every use has a default */
  readonly optional: boolean;
  /** a use refuses to go on without it */
  readonly required: boolean;
}

export interface VariableReport {
  readonly variables: readonly ComposeVariable[];
  /** strings that compose refuses to fill in, with their field */
  readonly invalid: readonly { readonly place: string; readonly text: string }[];
}

/** Set for the app in every guest, so that nobody has to send them (`deploy` and its programs). */
export const SET_BY_GUEST: ReadonlySet<string> = new Set([
  'PCCS_URL',
  'PATH',
  'HOME',
  'LC_ALL',
  'TZ',
  'COMPOSE_PROJECT_NAME',
]);

const MAX_PLACES = 4;
/** Deeper nesting than this is not a compose file. */
const MAX_DEPTH = 64;

interface Mutable {
  name: string;
  places: string[];
  optional: boolean;
  required: boolean;
}

/** All of them, by name in the order of their first use. */
export function composeVariables({ documents }: Pick<ComposeSource, 'documents'>): VariableReport {
  const found = new Map<string, Mutable>();
  const invalid: { place: string; text: string }[] = [];
  const add = (name: string, place: string, { optional = false, required = false } = {}) => {
    const before = found.get(name);
    if (before === undefined) {
      found.set(name, { name, places: [place], optional, required });
      return;
    }
    if (before.places.length < MAX_PLACES && !before.places.includes(place)) before.places.push(place);
    before.optional &&= optional;
    before.required ||= required;
  };
  const walk = (value: unknown, place: string, depth: number): void => {
    if (depth > MAX_DEPTH) return;
    if (typeof value === 'string') {
      const { uses, invalid: bad } = interpolation(value);
      for (const { name, ...how } of uses) add(name, place, how);
      if (bad !== undefined) invalid.push({ place, text: bad });
    } else if (Array.isArray(value)) {
      value.forEach((item, i) => {
        walk(item, `${place}[${i}]`, depth + 1);
      });
    } else if (isObject(value)) {
      for (const [key, item] of Object.entries(value)) walk(item, place === '' ? key : `${place}.${key}`, depth + 1);
    }
  };
  for (const document of documents) {
    walk(document, '', 0);
    passedThrough(document, add);
  }
  return { variables: [...found.values()], invalid };
}

/** A name without a value is taken from the environment: of a service, of a build, and of a secret or config. */
function passedThrough(document: Readonly<Record<string, unknown>>, add: (name: string, place: string) => void): void {
  const names = (value: unknown, place: string) => {
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === 'string' && !/[=$]/.test(item)) add(item.trim(), place);
    } else if (isObject(value)) {
      for (const [key, item] of Object.entries(value)) if (item === null) add(key, place);
    }
  };
  const entries = (key: string) => Object.entries(isObject(document[key]) ? document[key] : {});
  for (const [service, fields] of entries('services')) {
    if (!isObject(fields)) continue;
    names(fields['environment'], `services.${service}.environment`);
    if (isObject(fields['build'])) names(fields['build']['args'], `services.${service}.build.args`);
  }
  for (const kind of ['secrets', 'configs'])
    for (const [name, fields] of entries(kind)) {
      const from = isObject(fields) ? fields['environment'] : undefined;
      if (typeof from === 'string' && !from.includes('$')) add(from, `${kind}.${name}.environment`);
    }
}
