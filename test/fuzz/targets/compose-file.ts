/** Compose files: project, services and images that we read without docker. Hostile YAML must not grow or hang. */
import { composeProject, composeServices } from '../../../src/deploy/compose-file.ts';
import { utf8 } from '../select.ts';
import type { FuzzTarget } from '../target.ts';

const target: FuzzTarget = {
  limit: 2048,
  dictionary: [
    'services:\n',
    '  web:\n    image: a\n',
    'name: x\n',
    'include:\n',
    '---\n',
    '&a ',
    '*a',
    '<<: *a\n',
    '? ',
    '!!binary ',
    '!!js/function ',
    '%YAML 1.1\n',
    '[*a,*a,*a,*a]',
    '$X',
    'profiles: [a]\n',
    'build: .\n',
    '__proto__:',
    '|\n',
    '\t',
    '"\\x00"',
  ],
  async run(input) {
    const text = utf8(input);
    const { services } = await composeProject(text, 'app');
    for (const { name } of await composeServices(text))
      if (!services.has(name)) throw new Error(`service ${name} is in one list only`);
  },
};
export default target;
