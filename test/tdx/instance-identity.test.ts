import { describe, expect, it } from 'vitest';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { computeIdentity, instanceId } from '../../src/tdx/instance-identity.ts';
import vectors from '../vectors/boot.json' with { type: 'json' };

const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
const compose = (more: Record<string, unknown> = {}) =>
  parseAppCompose(
    new TextEncoder().encode(JSON.stringify({ manifest_version: 2, name: 'a', runner: 'bash', ...more })),
  );
const none = { appId: new Uint8Array(), instanceId: new Uint8Array(), instanceIdSeed: new Uint8Array() };
const stored = { ...none, instanceIdSeed: new Uint8Array(20).fill(0xa1) };

describe('identity', () => {
  it.each(vectors.instance_id)('instance id: $name', (vector) => {
    const id = instanceId(hex(vector.instance_id_seed_hex), hex(vector.app_id_hex), hex(vector.binding_hex));
    expect(Buffer.from(id).toString('hex')).toBe(vector.instance_id_hex);
  });

  it('keeps the seed of the last boot with a provider that keeps keys', () => {
    const { instanceIdSeed } = computeIdentity(compose({ key_provider: 'local' }), stored);
    expect(instanceIdSeed).toEqual(stored.instanceIdSeed);
  });

  it('is new in each boot with provider none, and in the first one', () => {
    const random = () => new Uint8Array(20).fill(7);
    expect(computeIdentity(compose(), stored, random).instanceIdSeed).toEqual(random());
    expect(computeIdentity(compose({ key_provider: 'local' }), none, random).instanceIdSeed).toEqual(random());
  });

  it('takes the app id from the measured file unless the host names one', () => {
    const app = compose();
    expect(computeIdentity(app, none).appId).toEqual(app.composeHash.slice(0, 20));
    const named = { ...none, appId: new Uint8Array(20).fill(9) };
    expect(computeIdentity(app, named).appId).toEqual(named.appId);
  });

  it.each([1, 19, 21, 32])('refuses an app id of %i bytes', (length) => {
    expect(() => computeIdentity(compose(), { ...none, appId: new Uint8Array(length) })).toThrowError(
      `invalid app id length: expected 20 bytes, got ${length}`,
    );
  });
});
