/** The rules of `app check` about a compose file. Each construct was met in a public example or in docker's own words. */
import { describe, expect, it } from 'vitest';
import { compose, DIGEST, PINNED, service, short } from './check.ts';

/* biome-ignore-start lint/suspicious/noTemplateCurlyInString: compose's own syntax */
const build = (dockerfile: string, more: object = {}) =>
  compose({ services: { web: { build: { context: '.', dockerfile_inline: dockerfile, ...more } } } });

describe('nothing to say', () => {
  it('about a pinned image with a port, a named volume and its sockets left alone', async () => {
    const text = `
services:
  web:
    image: ${PINNED}
    ports: ["8080:80", "127.0.0.1::9"]
    volumes: [data:/data]
    configs: [{source: run.sh, target: /run.sh, mode: 0755}]
    tmpfs: [/tmp]
volumes: {data: }
configs: {run.sh: {content: "echo $$HOME"}}
x-anything: {at: all}
`;
    expect(short(await compose(text))).toEqual(['warning port-random services.web.ports[1]']);
  });
});

describe('images', () => {
  it('are pinned by a digest, and by nothing that a variable can change', async () => {
    const services = {
      a: { image: 'nginx' },
      b: { image: `nginx:1@${DIGEST}` },
      c: { image: '${IMAGE}' },
      d: { image: `nginx:\${TAG:-1}@${DIGEST}` },
      e: { build: 'https://example.org/x.git#main' },
      f: { build: `https://example.org/x.git#${'1'.repeat(40)}` },
    };
    const found = await compose({ services });
    expect(short(found)).toEqual([
      'unpinned build-remote services.e.build',
      'unpinned image-tag services.a.image',
      'unpinned image-variable services.c.image',
      'unpinned image-variable services.d.image',
    ]);
    expect(found.find(({ rule }) => rule === 'image-tag')?.fix).toBe(
      'write nginx@sha256:<digest>; docker buildx imagetools inspect nginx prints the digest',
    );
  });

  it('of an inline Dockerfile are those that it starts from', async () => {
    const dockerfile = `# syntax=docker/dockerfile:1
FROM --platform=linux/amd64 ubuntu:24.04 AS base
FROM base
FROM scratch
FROM alpine@${DIGEST} AS tools
RUN cat > x <<'END'
FROM not-an-instruction
END
`;
    expect(short(await build(dockerfile))).toEqual(['unpinned image-tag services.web.build.dockerfile_inline line 2']);
  });
});

describe('files beside the compose file', () => {
  it('are not copied by an inline Dockerfile, but stages, here-documents and addresses are', async () => {
    const base = `FROM alpine@${DIGEST}\n`;
    const good = `COPY --from=base /a /b\nCOPY <<EOF /x\ntext\nEOF\nADD https://example.org/f /f\n`;
    expect(await build(base + good)).toEqual([]);
    const found = await build(`${base}COPY --chown=1 index.mjs \\\n  package.json ./\nADD ["a b.txt", "/b"]\n`);
    expect(short(found)).toEqual([
      'refused build-copy services.web.build.dockerfile_inline',
      'refused build-copy services.web.build.dockerfile_inline',
    ]);
    expect(found.map(({ text }) => text.split(':')[0])).toEqual([
      'line 2 of dockerfile_inline copies index.mjs package.json',
      'line 4 of dockerfile_inline copies a b.txt',
    ]);
  });

  it.each([
    [{ build: '.' }, 'build-context services.web.build'],
    [{ build: { context: './app', dockerfile: 'Dockerfile' } }, 'build-context services.web.build'],
    [{ env_file: '.env' }, 'env-file services.web.env_file'],
    [{ env_file: [{ path: 'a.env' }] }, 'env-file services.web.env_file[0]'],
    [{ extends: { file: 'base.yaml', service: 'x' } }, 'extends services.web.extends.file'],
    [{ volumes: ['./nginx.conf:/etc/nginx/nginx.conf:ro'] }, 'mount-local services.web.volumes[0]'],
    [{ volumes: [{ type: 'bind', source: './d', target: '/d' }] }, 'mount-local services.web.volumes[0]'],
  ])('%j is refused', async (fields, expected) => {
    expect(short(await service(fields))).toEqual([`refused ${expected}`]);
  });

  it('are refused as configs, secrets and included files, too', async () => {
    const found = await compose({
      include: ['db.yaml', { path: ['x.yaml', 'oci://example.org/stack'] }],
      services: { web: { image: PINNED, configs: ['c'], secrets: ['s'] } },
      configs: { c: { file: './c.conf' } },
      secrets: { s: { file: 's.txt' } },
    });
    expect(short(found)).toEqual([
      'refused include include[0]',
      'refused include include[1]',
      'refused local-file configs.c.file',
      'refused local-file secrets.s.file',
      'unpinned include-remote include[1]',
    ]);
  });

  it('are warned of where an empty folder may be what is meant, and no matter when nobody needs them', async () => {
    expect(short(await service({ volumes: ['./data:/data'], env_file: [{ path: 'x.env', required: false }] }))).toEqual(
      ['warning mount-local services.web.volumes[0]', 'note env-file services.web.env_file[0]'],
    );
    expect(short(await service({ env_file: '/dstack/.host-shared/.decrypted-env' }))).toEqual([
      'warning env-file services.web.env_file',
    ]);
  });
});

describe('what containers reach', () => {
  it.each([
    ['/:/host', 'warning mount-keys'],
    ['/dstack:/d', 'warning mount-keys'],
    ['.:/src', 'warning mount-keys'],
    ['/dstack/.host-shared/.appkeys.json:/k', 'warning mount-keys'],
    ['/var/run/docker.sock:/var/run/docker.sock', 'warning mount-docker'],
    ['/run/docker.sock:/x:ro', 'warning mount-docker'],
    ['/var/run/dstack.sock:/var/run/dstack.sock', 'note mount-agent'],
    ['/var/run/tappd.sock:/var/run/tappd.sock', 'note mount-agent'],
    ['/tapp:/tapp', 'warning mount-old'],
    ['$WHERE:/x', 'warning mount-variable'],
    ['/srv/data:/data', 'note mount-guest'],
  ])('%s', async (volume, expected) => {
    expect(short(await service({ volumes: [volume] }))).toEqual([`${expected} services.web.volumes[0]`]);
  });

  it('is the guest itself with these rights', async () => {
    const found = await service({
      privileged: true,
      network_mode: 'host',
      pid: 'host',
      cap_add: ['NET_ADMIN', 'SYS_ADMIN'],
      devices: ['/dev/tdx_guest:/dev/tdx_guest'],
      platform: 'linux/arm64',
      deploy: { resources: { reservations: { devices: [{ driver: 'nvidia', capabilities: ['gpu'] }] } } },
    });
    expect(short(found)).toEqual([
      'refused platform services.web.platform',
      'warning privileged services.web.privileged',
      'warning capabilities services.web.cap_add',
      'warning gpu services.web',
      'warning device services.web.devices',
      'note host-network services.web.network_mode',
      'note host-processes services.web.pid',
    ]);
  });
});

describe('ports', () => {
  const ports = async (list: unknown[], app?: Record<string, unknown>) =>
    short(await compose({ services: { web: { image: PINNED, ports: list } } }, app));

  it.each([
    ['8090:80', 'refused port-agent'],
    ['8000-9000:8000-9000', 'refused port-agent'],
    [{ target: 80, published: '8090' }, 'refused port-agent'],
    ['127.0.0.1:8080:80', 'warning port-loopback'],
    ['[::1]:8080:80', 'warning port-loopback'],
    ['53:53/udp', 'warning port-udp'],
    ['80', 'warning port-random'],
    [80, 'warning port-random'],
    [{ target: 80 }, 'warning port-random'],
  ])('%j', async (port, expected) => {
    expect(await ports([port])).toEqual([`${expected} services.web.ports[0]`]);
  });

  it('are given to one service only, unless it is not started or listens elsewhere', async () => {
    const services = (second: object) => ({
      services: { a: { image: PINNED, ports: ['80:80'] }, b: { image: PINNED, ...second } },
    });
    expect(short(await compose(services({ ports: ['80:8080'] })))).toEqual(['refused port-twice services.b.ports[0]']);
    expect(await compose(services({ ports: ['80:8080'], profiles: ['x'] }))).toEqual([]);
    expect(await compose(services({ ports: ['80:8080/udp'] }))).toHaveLength(1);
  });

  it('go through the gateway as far as the document lets them', async () => {
    expect(await ports(['80:80'], {})).toEqual(['note gateway-off gateway_enabled']);
    expect(await ports(['80:80'], { gateway_enabled: true })).toEqual([]);
    expect(await ports(['53:53/udp'], { gateway_enabled: true })).toContain('note gateway-idle gateway_enabled');
    const policy = { ports: [{ port: 443 }], restrict_mode: true };
    expect(await ports(['80:80', '443:443'], { gateway_enabled: true, port_policy: policy })).toEqual([
      'warning port-policy services.web.ports[0]',
    ]);
  });
});

describe('what docker compose itself refuses', () => {
  it.each([
    [{ imag: 'x' }, 'compose-key services.web.imag'],
    [{ provider: { type: 'x' } }, 'compose-key services.web.provider'],
    [{ build: { context: 'https://x/y.git', nonsense: 1 } }, 'compose-key services.web.build.nonsense'],
    [{ healthcheck: { tests: [] } }, 'compose-key services.web.healthcheck.tests'],
    [{ ports: [{ publish: 80, target: 80 }] }, 'compose-key services.web.ports[0].publish'],
    [{ depends_on: ['db'] }, 'undefined services.web.depends_on'],
    [{ depends_on: { db: { condition: 'service_started', required: false } } }, 'undefined services.web.depends_on'],
    [{ networks: ['net'] }, 'undefined services.web.networks'],
    [{ volumes: ['data:/data'] }, 'undefined services.web.volumes'],
    [{ configs: ['c'] }, 'undefined services.web.configs'],
    [{ secrets: [{ source: 's' }] }, 'undefined services.web.secrets'],
    [{ extends: 'base' }, 'undefined services.web.extends'],
    [{ image: null }, 'no-image services.web'],
    [{ depends_on: ['web'] }, 'cycle services.web.depends_on'],
    [{ command: 'echo ${X' }, 'interpolation services.web.command'],
  ])('%j', async (fields, expected) => {
    expect(short(await service(fields))).toContain(`refused ${expected}`);
  });

  it('at the top of the file, and the file itself', async () => {
    expect(short(await service({}, { servces: {} }))).toEqual(['refused compose-key servces']);
    expect(short(await service({}, { models: {} }))).toEqual(['refused compose-key models']);
    expect(short(await compose('services: [a]'))).toEqual(['refused COMPOSE_INVALID file']);
    expect(short(await compose('a: {b: c'))).toEqual(['refused COMPOSE_INVALID file']);
    const bomb = Array.from({ length: 12 }, (_, i) => `x${i}: &x${i} [${Array(9).fill(i === 0 ? 'l' : `*x${i - 1}`)}]`);
    expect(short(await compose(`${bomb.join('\n')}\nservices: {a: {image: b, labels: *x11}}`))).toEqual([
      'refused COMPOSE_INVALID file',
    ]);
  });
});
/* biome-ignore-end lint/suspicious/noTemplateCurlyInString: compose's own syntax */
