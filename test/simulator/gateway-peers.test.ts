import { describe, expect, it } from 'vitest';
import { PeerTable } from '../../simulator/gateway/peers.ts';

describe('the guests a gateway knows', () => {
  it('keep their address as long as they keep their key', () => {
    const table = new PeerTable('10.4');
    const { peer } = table.register('A', 'app', 'one');
    expect(peer.ip).toBe('10.4.0.10');
    expect(table.register('B', 'app', 'two').peer.ip).toBe('10.4.0.11');
    expect(table.register('A', 'app', 'one')).toEqual({ peer, replaced: undefined });
    expect(table.all).toHaveLength(2);
  });

  it('have one key an instance: a new one replaces the old one at the same address', () => {
    const table = new PeerTable('10.4');
    const { peer } = table.register('A', 'app', 'one');
    const again = table.register('B', 'app', 'one');
    expect(again.replaced).toEqual(peer);
    expect(again.peer.ip).toBe(peer.ip);
    expect(table.all).toEqual([again.peer]);
  });

  it('may have no instance id, and are then told apart by their keys', () => {
    const table = new PeerTable('10.4');
    table.register('A', 'app', '');
    expect(table.register('B', 'app', '').replaced).toBeUndefined();
    expect(table.all).toHaveLength(2);
  });

  it('get addresses that are no network and no broadcast address, and none twice', () => {
    const table = new PeerTable('10.4');
    const ips = Array.from({ length: 600 }, (_, i) => table.register(`${i}`, 'app', '').peer.ip);
    expect(new Set(ips).size).toBe(600);
    expect(ips.filter((ip) => /\.(0|255)$/.test(ip))).toEqual([]);
  });

  it('are strangers after a restart', () => {
    const table = new PeerTable('10.4');
    table.register('A', 'app', 'one');
    expect(table.forget()).toHaveLength(1);
    expect(table.all).toEqual([]);
    expect(table.register('A', 'app', 'one').peer.ip).toBe('10.4.0.11'); // an address is not handed on at once
  });

  it('live in a private network', () => {
    expect(() => new PeerTable('192.168')).toThrow('is not a network');
  });
});
