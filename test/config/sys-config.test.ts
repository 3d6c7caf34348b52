import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatInstanceInfo, parseInstanceInfo } from '../../src/config/instance-info.ts';
import { parseSysConfig } from '../../src/config/sys-config.ts';
import { DstackError } from '../../src/errors.ts';
import { failure } from '../failure.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (extra: object) => parseSysConfig(bytes(JSON.stringify({ vm_config: '{}', ...extra })));

describe('.sys-config.json', () => {
  it('has the documented defaults', () => {
    expect(parse({})).toEqual({
      kmsUrls: [],
      gatewayUrls: [],
      collateralUrls: {},
      vmConfig: '{}',
      vm: {
        osImageHash: new Uint8Array(),
        cpuCount: 0,
        memorySize: 0,
        pciHole64Size: 0,
        hugepages: false,
        numGpus: 0,
        numNvswitches: 0,
        numNics: 1,
        numVerityVolumes: 0,
        swtpm: false,
        hotplugOff: false,
        hostShareMode: '',
        tdxAttestationVariant: 'legacy',
      },
    });
  });

  it('keeps the raw text of vm_config and reads it too', () => {
    const vmConfig = '{ "os_image_hash" : "AB", "memory_size":2147483648,"spec_version":1, "num_nics": 2 }';
    const config = parse({ vm_config: vmConfig });
    expect(config.vmConfig).toBe(vmConfig);
    expect(config.vm).toMatchObject({ osImageHash: Uint8Array.from([0xab]), memorySize: 2147483648, numNics: 2 });
  });

  it('reads a bound measurement', () => {
    const measurement = { checksum_file: 'AAE=', measurement: '/w==' };
    const { vm } = parse({ vm_config: JSON.stringify({ tdx_measurement: measurement }) });
    expect(vm.tdxMeasurement).toEqual({ checksumFile: Uint8Array.from([0, 1]), measurement: Uint8Array.from([255]) });
  });

  it('prefers collateral_urls to the old name, and treats empty text as absent', () => {
    expect(parse({ pccs_url: 'https://old' }).pccsUrl).toBe('https://old');
    expect(parse({ pccs_url: 'https://old', collateral_urls: { pccs: 'https://new' } }).pccsUrl).toBe('https://new');
    const empty = parse({ pccs_url: '', docker_registry: '', host_api_url: null });
    for (const name of ['pccsUrl', 'dockerRegistry', 'hostApiUrl']) expect(empty).not.toHaveProperty(name);
  });

  it('knows the old name of the gateways, but not both', () => {
    expect(parse({ tproxy_urls: ['a'] }).gatewayUrls).toEqual(['a']);
    expect(parse({ gateway_urls: ['b'] }).gatewayUrls).toEqual(['b']);
    const error = failure(() => parse({ gateway_urls: [], tproxy_urls: [] }));
    expect(error).toMatchObject({ code: 'DOCUMENT_INVALID', field: 'gateway_urls' });
  });

  it('finds the effective mr_config', () => {
    const inner = JSON.stringify({ mr_config: 'inner' });
    expect(parse({ mr_config: 'outer', vm_config: inner }).mrConfig).toBe('outer');
    expect(parse({ mr_config: '', vm_config: inner }).mrConfig).toBe('inner');
    expect(parse({ vm_config: inner }).mrConfig).toBe('inner');
    expect(parse({})).not.toHaveProperty('mrConfig');
  });

  it.each([
    [{ vm_config: undefined }, 'vm_config'],
    [{ vm_config: {} }, 'vm_config'],
    [{ vm_config: 'no JSON' }, 'vm_config'],
    [{ vm_config: '[]' }, 'vm_config'],
    [{ vm_config: '{"cpu_count":-1}' }, 'vm_config.cpu_count'],
    [{ vm_config: '{"cpu_count":1.0}' }, 'vm_config.cpu_count'],
    [{ vm_config: '{"cpu_count":4294967296}' }, 'vm_config.cpu_count'],
    [{ vm_config: '{"os_image_hash":"xyz"}' }, 'vm_config.os_image_hash'],
    [{ vm_config: '{"hugepages":1}' }, 'vm_config.hugepages'],
    [{ vm_config: '{"tdx_attestation_variant":"full"}' }, 'vm_config.tdx_attestation_variant'],
    [
      { vm_config: '{"tdx_measurement":{"checksum_file":"A","measurement":""}}' },
      'vm_config.tdx_measurement.checksum_file',
    ],
    [{ kms_urls: 'https://x' }, 'kms_urls'],
    [{ kms_urls: [1] }, 'kms_urls[0]'],
    [{ host_api_url: 5 }, 'host_api_url'],
    [{ collateral_urls: { intel: '' } }, 'collateral_urls.intel'],
  ])('refuses %j', (extra, field) => {
    expect(failure(() => parse(extra))).toMatchObject({ code: 'DOCUMENT_INVALID', field, path: '.sys-config.json' });
  });

  it('throws nothing but a DstackError', () => {
    const names = ['vm_config', 'kms_urls', 'gateway_urls', 'tproxy_urls', 'collateral_urls', 'mr_config', 'pccs_url'];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.oneof(fc.jsonValue(), fc.json())), (document) => {
        try {
          parseSysConfig(bytes(JSON.stringify(document)));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('.instance_info', () => {
  it('reads what the VMM pre-writes and round trips in the fixed order', () => {
    const first = parseInstanceInfo(bytes('{"app_id":"ABcd"}'));
    expect(first).toEqual({
      instanceIdSeed: new Uint8Array(),
      instanceId: new Uint8Array(),
      appId: Uint8Array.from([0xab, 0xcd]),
    });
    expect(formatInstanceInfo(first)).toBe('{"instance_id_seed":"","instance_id":"","app_id":"abcd"}');
    const id = fc.uint8Array({ maxLength: 20 });
    fc.assert(
      fc.property(id, id, id, (instanceIdSeed, instanceId, appId) => {
        const info = { instanceIdSeed, instanceId, appId };
        expect(parseInstanceInfo(bytes(formatInstanceInfo(info)))).toEqual(info);
      }),
    );
  });

  it.each(['{"app_id":"0xab"}', '{"app_id":1}', '[]', '{"app_id":"a"}'])('refuses %s', (text) => {
    expect(failure(() => parseInstanceInfo(bytes(text))).code).toBe('DOCUMENT_INVALID');
  });
});
