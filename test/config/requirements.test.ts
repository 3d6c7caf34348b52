import { describe, expect, it } from 'vitest';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { checkRequirements, launchTokenHash, type PlatformFacts } from '../../src/config/requirements.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/config.json' with { type: 'json' };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const TOKEN = vectors.launch_token_hash[0]!.token;
const FACTS: PlatformFacts = { osVersion: '0.5.4', platform: 'dstack-tdx' };

function check(requirements: object | undefined, facts: Partial<PlatformFacts> = {}): () => void {
  const document = { manifest_version: '3', name: 'a', runner: 'bash', requirements };
  const compose = parseAppCompose(bytes(JSON.stringify(document)));
  return () => checkRequirements(compose, { ...FACTS, ...facts });
}

const tokenConfig = (token: unknown) => bytes(JSON.stringify({ dstack: { launch_token: token } }));

describe('requirements', () => {
  it.each([
    [undefined, {}],
    [{}, {}],
    [{ os_version: null, platforms: null, gpu_policy: null }, {}],
    [{ os_version: '>=0.5.3, <0.6' }, {}],
    [{ health_check: true }, {}],
    [{ health_check: null, health_status_file: null }, {}],
    [{ health_check: true, health_status_file: '/dstack/health' }, {}],
    [{ platforms: ['dstack-gcp-tdx', 'dstack-tdx'] }, {}],
    [{ tdx_measure_acpi_tables: true }, {}],
    [{ tdx_measure_acpi_tables: true }, { tdxVariant: 'legacy' }],
    [{ tdx_measure_acpi_tables: false }, { tdxVariant: 'lite' }],
    [{ tdx_measure_acpi_tables: false }, { platform: 'dstack-gcp-tdx' }],
    [{ launch_token_hash: vectors.launch_token_hash[0]!.hash_hex }, { userConfig: tokenConfig(TOKEN) }],
  ])('%j is met by %j', (requirements, facts) => {
    expect(check(requirements, facts)).not.toThrow();
  });

  it.each([
    [{ health_check: 'true' }, 'requirements.health_check'],
    [{ health_status_file: '/dstack/health' }, 'requirements.health_status_file'],
    [{ health_check: false, health_status_file: '/dstack/health' }, 'requirements.health_status_file'],
    [{ health_check: true, health_status_file: 'health' }, 'requirements.health_status_file'],
    [{ health_check: true, health_status_file: '' }, 'requirements.health_status_file'],
    [{ health_check: true, health_status_file: '/a\0b' }, 'requirements.health_status_file'],
    [{ health_check: true, health_status_file: `/${'a'.repeat(4096)}` }, 'requirements.health_status_file'],
    [{ health_check: true, health_file: '/a' }, 'requirements'],
  ])('refuses %j', (requirements, field) => {
    expect(failure(() => check(requirements))).toMatchObject({
      code: 'DOCUMENT_INVALID',
      field: expect.stringMatching(`^${field}`),
    });
  });

  const hash = vectors.launch_token_hash[0]!.hash_hex;
  it.each([
    [{ os_version: '>=0.6' }, {}, 'requirements.os_version'],
    [{ os_version: '>=0.5' }, { osVersion: '0.6.0-rc.1' }, 'requirements.os_version'],
    [{ os_version: '>=0.5' }, { osVersion: '' }, 'requirements.os_version'],
    [{ os_version: 'latest' }, {}, 'requirements.os_version'],
    [{ platforms: [] }, {}, 'requirements.platforms'],
    [{ platforms: ['dstack-amd-sev-snp'] }, {}, 'requirements.platforms'],
    [{ tdx_measure_acpi_tables: true }, { tdxVariant: 'lite' }, 'requirements.tdx_measure_acpi_tables'],
    [{ tdx_measure_acpi_tables: false }, {}, 'requirements.tdx_measure_acpi_tables'],
    [{ launch_token_hash: hash }, {}, 'requirements.launch_token_hash'],
    [{ launch_token_hash: hash }, { userConfig: bytes('no JSON') }, 'requirements.launch_token_hash'],
    [{ launch_token_hash: hash }, { userConfig: bytes('[]') }, 'requirements.launch_token_hash'],
    [{ launch_token_hash: hash }, { userConfig: tokenConfig(5) }, 'requirements.launch_token_hash'],
    [{ launch_token_hash: hash }, { userConfig: tokenConfig(`${TOKEN}x`) }, 'requirements.launch_token_hash'],
    [
      { launch_token_hash: vectors.launch_token_hash[1]!.hash_hex },
      { userConfig: tokenConfig(vectors.launch_token_hash[1]!.token) }, // right, but shorter than 32 bytes
      'requirements.launch_token_hash',
    ],
  ])('%j is not met by %j', (requirements, facts, field) => {
    expect(check(requirements, facts)).toThrow(expect.objectContaining({ code: 'REQUIREMENT_UNMET', field }));
  });

  it('looks at the user config only for a token', () => {
    expect(check({ os_version: '>=0.5' }, { userConfig: bytes('no JSON') })).not.toThrow();
  });

  it('judges all platform names before it compares', () => {
    expect(check({ platforms: ['dstack-tdx', 'dstack-sgx'] })).toThrow('invalid requirements.platforms[1]: dstack-sgx');
  });

  it('keeps the order of the boot: OS version, platforms, ACPI tables, token', () => {
    const all = { os_version: '9', platforms: [], tdx_measure_acpi_tables: false, launch_token_hash: hash };
    const first = (left: object) => {
      try {
        check(left)();
      } catch (thrown) {
        return (thrown as { field: string }).field;
      }
      return undefined;
    };
    expect(first(all)).toBe('requirements.os_version');
    expect(first({ ...all, os_version: undefined })).toBe('requirements.platforms');
    expect(first({ ...all, os_version: undefined, platforms: undefined })).toBe('requirements.tdx_measure_acpi_tables');
  });

  it('never shows the token', () => {
    try {
      check({ launch_token_hash: hash }, { userConfig: tokenConfig(`${TOKEN}-secret`) })();
      expect.unreachable();
    } catch (thrown) {
      expect(JSON.stringify(thrown)).not.toContain('secret');
    }
  });
});

describe('the launch token hash', () => {
  it.each(vectors.launch_token_hash)('$token', ({ token, hash_hex }) => {
    expect(Buffer.from(launchTokenHash(token)).toString('hex')).toBe(hash_hex);
  });
});
