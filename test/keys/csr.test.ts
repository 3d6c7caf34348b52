import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { ScaleWriter } from '../../src/codec/scale.ts';
import { DstackError } from '../../src/errors.ts';
import { type Csr, decodeCsr, decodeCsrV1, encodeCsr, signCsr, verifyCsr } from '../../src/keys/csr.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const fromVector = (vector: (typeof vectors.csr_v2_scale)[number]): Csr => ({
  spkiDer: fromHex(vector.pubkey_hex),
  organization: vector.org_name ?? undefined,
  commonName: vector.subject,
  altNames: vector.subject_alt_names,
  serverAuth: vector.usage_server_auth,
  clientAuth: vector.usage_client_auth,
  withQuote: vector.ext_quote,
  withAppInfo: vector.ext_app_info,
  notBefore: vector.not_before ?? undefined,
  notAfter: vector.not_after ?? undefined,
  attestation: fromHex(vector.attestation_hex),
});

const SAMPLE = fromVector(vectors.csr_v2_scale[1]!);
const ENCODED = encodeCsr(SAMPLE);

describe('requests of version 2', () => {
  it.each(vectors.csr_v2_scale)('$name', (vector) => {
    expect(toHex(encodeCsr(fromVector(vector)))).toBe(vector.encoded_hex);
    expect(decodeCsr(fromHex(vector.encoded_hex))).toEqual(fromVector(vector));
  });

  it('round trip', () => {
    const seconds = fc.option(fc.nat(), { nil: undefined });
    const text = fc.string({ unit: 'binary' });
    const csr = fc.record({
      spkiDer: fc.uint8Array(),
      organization: fc.option(text, { nil: undefined }),
      commonName: text,
      altNames: fc.array(text),
      serverAuth: fc.boolean(),
      clientAuth: fc.boolean(),
      withQuote: fc.boolean(),
      withAppInfo: fc.boolean(),
      notBefore: seconds,
      notAfter: seconds,
      attestation: fc.uint8Array(),
    });
    fc.assert(
      fc.property(csr, (value) => {
        expect(decodeCsr(encodeCsr(value))).toEqual(value);
      }),
    );
  });

  it('never read anything but a DstackError out of damaged bytes', () => {
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(ENCODED.length - 1), fc.nat(255)).map(([at, value]) => ENCODED.with(at, value)),
      fc.nat(ENCODED.length).map((end) => ENCODED.subarray(0, end)),
    );
    fc.assert(
      fc.property(damaged, (bytes) => {
        for (const decode of [decodeCsr, decodeCsrV1]) {
          try {
            decode(bytes);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(DstackError);
            expect((thrown as DstackError).code).toBe('CSR_INVALID');
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('want the confirm word and sane times', () => {
    expect(failure(() => decodeCsr(ENCODED.with(3, 0x21)))).toMatchObject({ code: 'CSR_INVALID', field: 'confirm' });
    const at = Buffer.from(ENCODED).indexOf(Buffer.from('00f15365', 'hex'));
    expect(failure(() => decodeCsr(ENCODED.with(at + 7, 1)))).toMatchObject({
      code: 'CSR_INVALID',
      field: 'not_after',
    });
  });

  it('carry at most 10 MiB of evidence', () => {
    const huge = { ...SAMPLE, attestation: new Uint8Array(10 * 1024 * 1024 + 1) };
    expect(failure(() => encodeCsr(huge))).toMatchObject({ code: 'CSR_INVALID', field: 'attestation' });
    const head = ENCODED.subarray(0, ENCODED.length - SAMPLE.attestation.length);
    const long = Uint8Array.from(Buffer.concat([head, huge.attestation]));
    expect(failure(() => decodeCsr(long))).toMatchObject({ code: 'CSR_INVALID', field: 'attestation' });
  });
});

describe('requests of version 1', () => {
  const encoded = (tail: Uint8Array = new Uint8Array()) =>
    new ScaleWriter()
      .string('please sign cert:')
      .bytes(Uint8Array.of(1, 2, 3))
      .option('Org', (writer, value) => writer.string(value))
      .string('cn')
      .vector(['a'], (writer, value) => writer.string(value))
      .bool(true)
      .bool(false)
      .bool(true)
      .bytes(Uint8Array.of(9, 9))
      .bytes(Buffer.from('[]'))
      .raw(tail)
      .finish();

  it('hold quote and event log', () => {
    expect(decodeCsrV1(encoded())).toEqual({
      spkiDer: Uint8Array.of(1, 2, 3),
      organization: 'Org',
      commonName: 'cn',
      altNames: ['a'],
      serverAuth: true,
      clientAuth: false,
      withQuote: true,
      quote: Uint8Array.of(9, 9),
      eventLog: Uint8Array.from(Buffer.from('[]')),
    });
  });

  it('end where they end', () => {
    expect(failure(() => decodeCsrV1(encoded(Uint8Array.of(0)))).code).toBe('CSR_INVALID');
  });
});

describe('the signature of a request', () => {
  const key = freshTlsKey();
  const encoded = encodeCsr({ ...SAMPLE, spkiDer: key.spkiDer });
  const signature = signCsr(encoded, key);

  it('verifies with the key inside', () => {
    expect(() => verifyCsr(encoded, signature, key.spkiDer)).not.toThrow();
    expect(signature[0]).toBe(0x30); // DER
  });

  it('is refused otherwise', () => {
    const wrong: [Uint8Array, Uint8Array, Uint8Array][] = [
      [encoded.with(30, encoded[30]! ^ 1), signature, key.spkiDer],
      [encoded, signature.with(20, signature[20]! ^ 1), key.spkiDer],
      [encoded, new Uint8Array(), key.spkiDer],
      [encoded, signature, freshTlsKey().spkiDer],
      [encoded, signature, Uint8Array.of(1, 2, 3)],
    ];
    for (const args of wrong) expect(failure(() => verifyCsr(...args)).code).toBe('CSR_INVALID');
  });

  it('wants a P-256 key', () => {
    expect(failure(() => signCsr(encoded, { pkcs8Der: new Uint8Array(138) })).code).toBe('KEY_INVALID');
  });
});
