/** What the tunnel is called on this machine. */
export const WG_INTERFACE = 'dstack-wg0';
export const WG_CONFIG = `/etc/wireguard/${WG_INTERFACE}.conf`;
