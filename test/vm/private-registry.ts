/** The login to a registry that lets nobody in without a password, with a real docker, compose and registry. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { deployApp, failed, SLEEP } from './deploy-app.ts';
import { type DockerRoom, PRIVATE_REGISTRY } from './docker-room.ts';

export const hasPrivateRegistry = existsSync(PRIVATE_REGISTRY);

const PORT = 5099;
const HOST = `127.0.0.1:${PORT}`;
const USER = 'puller-4711';
const PASSWORD = 'correct horse "battery" staple';
/** PASSWORD under bcrypt, cost 4, made with Bun.password */
const HTPASSWD = `${USER}:$2b$04$IF3lbjiFxzIp01oJokKv.uisiuSdbOv1HEzVAu9wFH4HZKA9X0Ksy\n`;
const ENV = {
  DSTACK_DOCKER_USERNAME: USER,
  DSTACK_DOCKER_PASSWORD: PASSWORD,
  DSTACK_DOCKER_REGISTRY: HOST,
};

export function privateRegistry(room: () => DockerRoom): void {
  const { app, start, status, down } = deployApp(room);
  const image = `${HOST}/private:1`;

  /** An app whose one image is in the registry, and its decrypted environment. */
  function deploy(env: Record<string, string>): void {
    app({ web: { ...SLEEP, image, pull_policy: 'missing' } }, { allowed_envs: Object.keys(ENV) });
    room().write('dstack/.host-shared/.decrypted-env.json', JSON.stringify(env));
  }

  /** Whatever a start said or left: none of it has a secret, and there is no login. */
  async function keepsSecrets(stderr: string): Promise<void> {
    const places = '/dockerd.log /run/log/dstack /run/dstack /root /dstack/docker-compose.yaml';
    const left = await room().ok(
      `cat $(find ${places} -type f ! -name .decrypted-env.json 2>/dev/null) 2>/dev/null; true`,
    );
    const pair = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
    for (const secret of [PASSWORD, 'battery', USER, pair]) {
      expect(stderr).not.toContain(secret);
      expect(left).not.toContain(secret);
    }
    expect((await room().sh('test -e /run/dstack/registry-login')).exit).toBe(1);
  }

  const forgetImage = async () => {
    await down();
    await room().ok(`docker image rm -f ${image} >/dev/null 2>&1; true`);
  };

  it('has an image that nobody gets without a password', async () => {
    await room().startPrivateRegistry(PORT, HTPASSWD);
    room().write('pw', PASSWORD);
    await room().ok(
      `export DOCKER_CONFIG=/push; docker login --username ${USER} --password-stdin ${HOST} </pw 2>&1 && ` +
        `docker tag bb:1 ${image} && docker push ${image} 2>&1; e=$?; rm -rf /push /pw; exit $e`,
    );
    await forgetImage();
    deploy({});
    failed(await start(), 'IMAGE_PULL_FAILED');
  });

  it('is logged in to from the encrypted environment before the pull, and the login is forgotten', async () => {
    deploy(ENV);
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect(stderr).toContain(`logged in to the registry ${HOST}`);
    expect((await status()).map(({ service, verdict }) => [service, verdict])).toEqual([['web', 'ready']]);
    expect(await room().ok('cat /run/log/dstack/boot.jsonl')).toContain('log in to the registry');
    await keepsSecrets(stderr);
  });

  it('may refuse the login when the image is here already', async () => {
    await down();
    deploy({ ...ENV, DSTACK_DOCKER_PASSWORD: 'wrong battery' });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect(stderr).toContain('so the start goes on without the registry');
    await keepsSecrets(stderr);
  });

  it('ends the start with its reason when it refuses the password, or is not there', async () => {
    await forgetImage();
    deploy({ ...ENV, DSTACK_DOCKER_PASSWORD: 'wrong battery' });
    const refused = failed(await start(), 'REGISTRY_LOGIN_REFUSED');
    expect(refused).toContain(`registry ${HOST} refused the login`);
    await keepsSecrets(refused);
    deploy({ ...ENV, DSTACK_DOCKER_REGISTRY: '127.0.0.1:5098' });
    const unreachable = failed(await start(), 'REGISTRY_UNREACHABLE');
    expect(unreachable).toContain('registry 127.0.0.1:5098 cannot be reached');
    await keepsSecrets(unreachable);
    room().write('dstack/.host-shared/.decrypted-env.json', '{}');
    await forgetImage();
  });
}
