/** Variables in a compose file. What the forms mean was asked of docker compose 2.26 itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { interpolation } from '../../../src/deploy/app/interpolation.ts';
import { composeVariables } from '../../../src/deploy/app/variables.ts';
import { parseCompose } from '../../../src/deploy/compose-file.ts';

/* biome-ignore-start lint/suspicious/noTemplateCurlyInString: compose's own syntax */
describe('interpolation', () => {
  it.each([
    ['plain', [], 'plain'],
    ['$A', ['A'], ''],
    ['a${B}c', ['B'], 'ac'],
    ['${A:-x}${B-y}', ['A?', 'B?'], 'xy'],
    ['${A:-${B:-c}}d', ['A?', 'B?'], 'cd'],
    ['${A:+x}${B+y}', ['A?', 'B?'], ''],
    ['${A:?why}${B?}', ['A!', 'B!'], ''],
    ['$$A $${B} $$$C', ['C'], '$A ${B} $'],
    ['costs 5$ or $5', [], 'costs 5$ or $5'],
    ['$_a9-', ['_a9'], '-'],
  ])('%s', (text, uses, bare) => {
    const found = interpolation(text);
    expect(
      found.uses.map(({ name, optional, required }) => `${name}${optional ? '?' : ''}${required ? '!' : ''}`),
    ).toEqual(uses);
    expect(found.bare).toBe(bare);
    expect(found.invalid).toBeUndefined();
  });

  it.each(['${A', '${', '${9}', '${A!b}', '${A:-${B}', '${}', '${A:-${9}}'])('%s is refused', (text) => {
    expect(interpolation(text).invalid).toBe(text.includes('${9}}') ? '${9}' : text);
  });

  it('reads any text, and what it calls bare without dollars is the text itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', ':', '-', '?', '+', ' ', '1') }), (text) => {
        const { bare, uses } = interpolation(text);
        if (!text.includes('$')) expect({ bare, uses }).toEqual({ bare: text, uses: [] });
      }),
    );
  });
});

describe('variables of a compose file', () => {
  const variables = async (text: string) => composeVariables(await parseCompose(text));

  it('are those of every string, and names without a value', async () => {
    const text = `
name: \${PROJECT:-shop}
x-common: &common
  logging: {options: {tag: "$TAG"}}
services:
  web:
    <<: *common
    image: "web:\${VERSION}"
    environment:
      - TOKEN
      - MODE=fast
      - LEVEL=\${LEVEL:-info}
    build: {context: ., args: [COMMIT, "X=1"]}
  db:
    image: db
    environment: {PASSWORD: , HOST: web, "KEY$\${X}": "$$5"}
secrets:
  key: {environment: SECRET_KEY}
configs:
  c: {content: "a $\${b} \${MUST:?no value}"}
`;
    const { variables: found, invalid } = await variables(text);
    expect(invalid).toEqual([]);
    expect(found.map(({ name }) => name).toSorted()).toEqual(
      ['COMMIT', 'LEVEL', 'MUST', 'PASSWORD', 'PROJECT', 'SECRET_KEY', 'TAG', 'TOKEN', 'VERSION'].toSorted(),
    );
    const of = (name: string) => found.find((variable) => variable.name === name);
    expect(of('LEVEL')).toMatchObject({ optional: true, required: false, places: ['services.web.environment[2]'] });
    expect(of('MUST')).toMatchObject({ optional: false, required: true });
    expect(of('VERSION')).toMatchObject({ optional: false, places: ['services.web.image'] });
  });

  it('are optional only if every use is', async () => {
    const { variables: found } = await variables('services: {a: {image: "${X:-a}"}, b: {image: "$X"}}');
    expect(found).toEqual([
      { name: 'X', places: ['services.a.image', 'services.b.image'], optional: false, required: false },
    ]);
  });

  it('are found in every document of the file', async () => {
    const { variables: found } = await variables('services: {a: {image: $X}}\n---\nservices: {b: {image: $Y}}\n');
    expect(found.map(({ name }) => name)).toEqual(['X', 'Y']);
  });
});
/* biome-ignore-end lint/suspicious/noTemplateCurlyInString: compose's own syntax */
