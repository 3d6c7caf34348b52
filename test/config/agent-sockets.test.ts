import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { failure } from '../failure.ts';

const parse = (agent_sockets: unknown) =>
  parseAppCompose(
    new TextEncoder().encode(
      JSON.stringify({ manifest_version: 2, name: 'app', runner: 'docker-compose', agent_sockets }),
    ),
  ).agentSockets;

describe('agent_sockets', () => {
  it('is empty by default', () => {
    expect(parse(undefined)).toEqual([]);
    expect(parse([])).toEqual([]);
  });
  it('reads names, methods of both interfaces and prefixes', () => {
    expect(
      parse([
        { name: 'web', allow: ['GetQuote', 'Info'], key_prefix: 'web/' },
        { name: 'db-1', allow: ['GetKey', 'Tappd.DeriveKey'], key_prefix: 'a/b.c/' },
        { name: 'twin', allow: ['GetKey'], key_prefix: 'web/' },
        { name: 'x', allow: ['Version'] },
      ]),
    ).toEqual([
      { name: 'web', allow: ['GetQuote', 'Info'], keyPrefix: 'web/', rule: 'agent_sockets[0]' },
      { name: 'db-1', allow: ['GetKey', 'Tappd.DeriveKey'], keyPrefix: 'a/b.c/', rule: 'agent_sockets[1]' },
      { name: 'twin', allow: ['GetKey'], keyPrefix: 'web/', rule: 'agent_sockets[2]' },
      { name: 'x', allow: ['Version'], keyPrefix: '', rule: 'agent_sockets[3]' },
    ]);
  });

  const good = { name: 'web', allow: ['GetKey'] };
  it.each([
    ['no array', {}, 'agent_sockets'],
    ['no object', ['web'], 'agent_sockets[0]'],
    ['too many', Array.from({ length: 33 }, (_, i) => ({ ...good, name: `s${i}` })), 'agent_sockets'],
    ['no name', [{ allow: ['GetKey'] }], 'agent_sockets[0].name'],
    ['a name with a slash', [{ ...good, name: '../dstack' }], 'agent_sockets[0].name'],
    ['a name with a capital', [{ ...good, name: 'Web' }], 'agent_sockets[0].name'],
    ['a name of dots', [{ ...good, name: '..' }], 'agent_sockets[0].name'],
    ['a name that ends with a dash', [{ ...good, name: 'a-' }], 'agent_sockets[0].name'],
    ['an empty name', [{ ...good, name: '' }], 'agent_sockets[0].name'],
    ['a long name', [{ ...good, name: 'a'.repeat(33) }], 'agent_sockets[0].name'],
    ['one name twice', [good, good], 'agent_sockets[1].name'],
    ['no rule', [{ name: 'web' }], 'agent_sockets[0].allow'],
    ['an empty rule', [{ ...good, allow: [] }], 'agent_sockets[0].allow'],
    ['an unknown method', [{ ...good, allow: ['GetKey', 'Getkey'] }], 'agent_sockets[0].allow[1]'],
    ['a method of another service', [{ ...good, allow: ['Shutdown'] }], 'agent_sockets[0].allow[0]'],
    ['a wildcard', [{ ...good, allow: ['*'] }], 'agent_sockets[0].allow[0]'],
    ['a method twice', [{ ...good, allow: ['Info', 'Info'] }], 'agent_sockets[0].allow[1]'],
    ['a method that is not text', [{ ...good, allow: [1] }], 'agent_sockets[0].allow[0]'],
    ['an unknown field', [{ ...good, keyPrefix: 'web/' }], 'agent_sockets[0].keyPrefix'],
    ['a prefix without a slash', [{ ...good, key_prefix: 'web' }], 'agent_sockets[0].key_prefix'],
    ['a prefix that starts with a slash', [{ ...good, key_prefix: '/web/' }], 'agent_sockets[0].key_prefix'],
    ['a prefix with dots', [{ ...good, key_prefix: 'web/../' }], 'agent_sockets[0].key_prefix'],
    ['an empty prefix', [{ ...good, key_prefix: '' }], 'agent_sockets[0].key_prefix'],
    ['a colon in a prefix', [{ ...good, key_prefix: 'a:/' }], 'agent_sockets[0].key_prefix'],
    [
      'a prefix inside another',
      [
        { ...good, key_prefix: 'web/' },
        { ...good, name: 'b', key_prefix: 'web/a/' },
      ],
      'agent_sockets[1].key_prefix',
    ],
  ])('refuses %s', async (_, value, field) => {
    expect(await failure(() => parse(value))).toMatchObject({ code: 'DOCUMENT_INVALID', field });
  });
  it('reads or refuses anything, and never reads a name that could leave its folder', () => {
    const entry = fc.record(
      { name: fc.string(), allow: fc.array(fc.oneof(fc.string(), fc.constant('GetKey'))), key_prefix: fc.string() },
      { requiredKeys: ['name', 'allow'] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.array(entry), fc.jsonValue()), (value) => {
        try {
          for (const { name } of parse(value)) expect(name).toMatch(/^[a-z0-9-]+$/);
        } catch (thrown) {
          expect((thrown as { code?: string }).code).toBe('DOCUMENT_INVALID');
        }
      }),
    );
  });
});
