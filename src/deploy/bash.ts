/** Runner `bash`: the script of app-compose.json is the app (dstack boot order, app start). It has no containers. */
import { DstackError } from '../errors.ts';
import type { Runner } from './runner.ts';
import { runScript } from './scripts.ts';

export const bash: Runner = {
  name: 'bash',
  progress: 'running main script',

  async check({ compose }) {
    if (compose.bashScript === undefined)
      throw new DstackError('DOCUMENT_INVALID', 'bash_script is missing', { field: 'bash_script' });
  },

  async plan() {
    return { services: [], loose: [] };
  },

  async start({ compose, dir, env, scriptTimeoutMs }) {
    await runScript('bash_script', compose.bashScript ?? '', { cwd: dir, env, timeoutMs: scriptTimeoutMs });
  },

  async stop() {},

  async status() {
    return [];
  },
};
