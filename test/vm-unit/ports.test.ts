import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { chooseForwards, parsePorts } from '../../initramfs/vm/ports.ts';

describe('parsePorts', () => {
  it('reads pairs', () => {
    expect(parsePorts('8090:18090,80:8080')).toEqual([
      { guest: 8090, host: 18090 },
      { guest: 80, host: 8080 },
    ]);
  });

  it.each(['', '8090', '8090:', '8090:x', '0:1', '1:65536', '1:2:3', '1:2,'])('refuses %j', (text) => {
    expect(() => parsePorts(text)).toThrow(/GUEST:HOST/);
  });
});

describe('chooseForwards', () => {
  it('evades a taken port and keeps what was fixed', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const taken = (server.address() as { port: number }).port;
    try {
      const [evaded] = await chooseForwards([taken]);
      expect(evaded?.guest).toBe(taken);
      expect(evaded?.host).not.toBe(taken);
      await expect(chooseForwards([], [{ guest: 1, host: taken }])).rejects.toThrow(
        `port ${taken} of 127.0.0.1 is taken`,
      );
    } finally {
      server.close();
    }
    expect(await chooseForwards([taken], [{ guest: taken, host: taken }])).toEqual([{ guest: taken, host: taken }]);
  });
});
