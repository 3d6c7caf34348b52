import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseVersion, satisfies } from '../../src/config/semver.ts';
import { DstackError } from '../../src/errors.ts';

// [requirement, versions that satisfy it, versions that do not]; the rules of Rust's semver crate
const TABLE: [string, string[], string[]][] = [
  ['1.2.3', ['1.2.3', '1.2.4', '1.9.0'], ['1.2.2', '2.0.0', '0.2.3']],
  ['^0.2.3', ['0.2.3', '0.2.9'], ['0.2.2', '0.3.0']],
  ['^0.0.3', ['0.0.3'], ['0.0.4', '0.1.0']],
  ['^0', ['0.0.1', '0.9.9'], ['1.0.0']],
  ['^0.0', ['0.0.0', '0.0.9'], ['0.1.0']],
  ['1', ['1.0.0', '1.99.99'], ['2.0.0']],
  ['1.2', ['1.2.0', '1.3.0'], ['1.1.9', '2.0.0']],
  ['~1.2.3', ['1.2.3', '1.2.9'], ['1.2.2', '1.3.0']],
  ['~1.2', ['1.2.0', '1.2.9'], ['1.3.0', '1.1.0']],
  ['~1', ['1.0.0', '1.9.0'], ['2.0.0']],
  ['=1.2.3', ['1.2.3'], ['1.2.4']],
  ['=1.2', ['1.2.0', '1.2.7'], ['1.3.0']],
  ['>1.2.3', ['1.2.4', '2.0.0'], ['1.2.3', '1.2.2']],
  ['>1.2', ['1.3.0', '2.0.0'], ['1.2.0', '1.2.9']],
  ['>1', ['2.0.0'], ['1.0.0', '1.9.9']],
  ['>=1.2', ['1.2.0', '1.2.9', '3.0.0'], ['1.1.9']],
  ['<1.2', ['1.1.9', '0.9.0'], ['1.2.0', '1.2.9']],
  ['<=1.2', ['1.2.9', '1.0.0'], ['1.3.0']],
  ['<1', ['0.9.9'], ['1.0.0']],
  ['*', ['0.0.0', '9.9.9'], ['1.0.0-rc.1']],
  ['x', ['1.2.3'], []],
  ['1.*', ['1.0.0', '1.9.0'], ['2.0.0', '0.9.0']],
  ['1.2.*', ['1.2.0', '1.2.9'], ['1.3.0']],
  ['1.*.*', ['1.5.5'], ['2.0.0']],
  ['0.X', ['0.5.0'], ['1.0.0']],
  ['>=1.*', ['1.0.0', '2.0.0'], ['0.9.0']],
  ['>=0.5.0, <0.6.0', ['0.5.0', '0.5.99'], ['0.6.0', '0.4.9']],
  [' >= 0.5.0 , < 0.6.0 ', ['0.5.1'], ['0.6.0']],
  // a pre-release is taken only if a comparator of the same release has one
  [
    '>=1.2.3-alpha.2',
    ['1.2.3-alpha.2', '1.2.3-alpha.10', '1.2.3-beta', '1.2.3', '1.3.0'],
    ['1.2.3-alpha.1', '1.2.4-rc'],
  ],
  ['^1.2.3', ['1.3.0'], ['1.2.4-rc.1', '1.2.3-rc.1']],
  ['=1.0.0-rc.1', ['1.0.0-rc.1'], ['1.0.0', '1.0.0-rc.2']],
  ['<1.0.0-rc.2', ['0.9.0', '1.0.0-rc.1', '1.0.0-1'], ['1.0.0-rc.2', '1.0.0', '0.9.0-rc.1']],
  // build data never matters
  ['=1.0.0+abc', ['1.0.0', '1.0.0+xyz'], ['1.0.1']],
];

describe('version requirements', () => {
  it.each(TABLE)('%s', (requirement, yes, no) => {
    for (const version of yes) expect(satisfies(version, requirement), `${version} in ${requirement}`).toBe(true);
    for (const version of no) expect(satisfies(version, requirement), `${version} not in ${requirement}`).toBe(false);
  });

  it.each([
    '',
    ',',
    '1.0,',
    ',1.0',
    '1.0,,2.0',
    'v1.0',
    '01.2',
    '1.02',
    '1.2.3.4',
    '1.*.3',
    '*.1',
    '*, 1.0',
    '1.0, *',
    '>*',
    '==1.0',
    '=>1.0',
    '! 1.0',
    '1.2-rc',
    '1.2.3-',
    '1.2.3-rc..1',
    '1.2.3-01',
    '1.2.3+',
    '1.2.3\n',
    '18446744073709551616',
    Array(33).fill('1').join(','),
    '1.0 2.0',
    '1.0 || 2.0',
  ])('refuses the requirement %j', (requirement) => {
    expect(() => satisfies('1.0.0', requirement)).toThrow(DstackError);
  });

  it('takes 32 comparators', () => {
    expect(satisfies('1.0.0', Array(32).fill('1').join(','))).toBe(true);
  });

  it.each(['1', '1.0', '1.0.0.0', 'v1.0.0', '1.0.0-', '01.0.0', '1.0.0-01', '', ' 1.0.0'])(
    'refuses version %j',
    (text) => {
      expect(() => parseVersion(text)).toThrow(DstackError);
    },
  );

  it('orders pre-releases as semver.org does', () => {
    const ordered = ['alpha', 'alpha.1', 'alpha.beta', 'beta', 'beta.2', 'beta.11', 'rc.1'];
    for (let i = 1; i < ordered.length; i++) {
      expect(satisfies(`1.0.0-${ordered[i]}`, `>1.0.0-${ordered[i - 1]}`)).toBe(true);
      expect(satisfies(`1.0.0-${ordered[i - 1]}`, `>1.0.0-${ordered[i]}`)).toBe(false);
    }
  });

  it('throws nothing but a DstackError, whatever the text', () => {
    const piece = fc.constantFrom(
      '1',
      '0',
      '.',
      '*',
      'x',
      ',',
      ' ',
      '>',
      '=',
      '<',
      '~',
      '^',
      '-',
      '+',
      'rc',
      '18446744073709551615',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        try {
          satisfies('1.2.3', parts.join(''));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('every version satisfies =itself and not >itself', () => {
    const number = fc.nat({ max: 50 });
    fc.assert(
      fc.property(number, number, number, (a, b, c) => {
        const version = `${a}.${b}.${c}`;
        expect(satisfies(version, `=${version}`)).toBe(true);
        expect(satisfies(version, `^${version}`)).toBe(true);
        expect(satisfies(version, `~${version}`)).toBe(true);
        expect(satisfies(version, `>${version}`)).toBe(false);
        expect(satisfies(version, `<${version}`)).toBe(false);
      }),
    );
  });
});
