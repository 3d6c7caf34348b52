/** Without a network the reason is one line, not the text of apt. */
import { expect, it } from 'vitest';
import { namingNetwork } from '../../initramfs/lib/no-network.ts';
import { run } from '../../initramfs/lib/run.ts';

const APT = `mmdebstrap: exit status 25
  Err:1 http://mirror.example/debian trixie InRelease
  Temporary failure resolving 'mirror.example'
  E: received signal: PIPE`;

it('names the network and what apt said of it', () => {
  expect((namingNetwork(new Error(APT)) as Error).message).toMatch(
    /^no network: cannot reach Debian's mirror\n {2}\| Temporary failure resolving 'mirror\.example'\n {2}hint: .*--mirror URL$/,
  );
  const other = new Error('mmdebstrap: exit status 1\n  E: Unable to locate package foo');
  expect(namingNetwork(other)).toBe(other);
});

it('finds the reason although much was written behind it', async () => {
  const script = 'echo "Could not resolve \'x\'"; for i in $(seq 40); do echo line $i; done; exit 3';
  const failure = await run(['sh', '-c', script]).catch((thrown: Error) => thrown);
  expect((failure as Error).message).toContain("Could not resolve 'x'");
  expect((failure as Error).message).toContain('line 40');
  expect((namingNetwork(failure) as Error).message).toMatch(/^no network/);
});
