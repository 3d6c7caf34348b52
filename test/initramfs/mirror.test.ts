import { describe, expect, it } from 'vitest';
import {
  checkMirror,
  parseTargets,
  securityBeside,
  sourceLines,
  sourcesFromTargets,
} from '../../initramfs/lib/mirror.ts';

const host = [
  'Packages|http://archive.test/debian/|bookworm|Debian|Debian',
  'DEP-11|http://archive.test/debian/|bookworm|Debian|Debian',
  'Packages|http://archive.test/debian/|bookworm-updates|Debian|Debian',
  'Packages|http://archive.test/debian-security/|bookworm-security|Debian|Debian-Security',
  'Packages|http://vendor.test/node/|nodistro|. nodistro|. nodistro',
  '',
].join('\n');

describe('package sources', () => {
  it('takes the archive and the security archive of the host, but the suite of the image', () => {
    const lines = sourcesFromTargets(parseTargets(host));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^deb \[signed-by=\S+\] http:\/\/archive\.test\/debian\/ trixie main contrib$/);
    expect(lines[1]).toMatch(/ http:\/\/archive\.test\/debian-security\/ trixie-security main contrib$/);
  });

  it('ignores what is not Debian', () => {
    expect(parseTargets(host).map((target) => target.uri)).not.toContain('http://vendor.test/node/');
    expect(sourcesFromTargets(parseTargets('Packages|http://u.test/ubuntu/|noble|Ubuntu|Ubuntu\n'))).toEqual([]);
  });

  it('never takes updates or backports for the archive itself', () => {
    const text = 'Packages|http://b.test/debian/|bookworm-backports|Debian Backports|Debian Backports\n';
    expect(sourcesFromTargets(parseTargets(text))).toEqual([]);
    expect(sourcesFromTargets(parseTargets('Packages|http://u.test/debian/|bookworm-updates|Debian|Debian'))).toEqual(
      [],
    );
  });

  it('works without a security archive', () => {
    expect(sourceLines('http://a.test/debian', undefined)).toHaveLength(1);
  });

  it('derives the security archive only where the name allows it', () => {
    expect(securityBeside('http://a.test/debian')).toBe('http://a.test/debian-security');
    expect(securityBeside('http://a.test/debian/')).toBe('http://a.test/debian-security');
    expect(securityBeside('http://a.test/mirror')).toBeUndefined();
  });

  it('refuses a mirror that is not one word of a known kind', () => {
    expect(checkMirror('https://a.test/debian')).toBe('https://a.test/debian');
    for (const bad of ['a.test/debian', 'http://a.test/debian main', 'ftp://a.test/debian', 'http://a/] x', '']) {
      expect(() => checkMirror(bad)).toThrow(/bad mirror/);
    }
  });
});
