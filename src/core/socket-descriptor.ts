/** @returns the descriptor of one of Node's sockets, which does not tell it; -1: it has none */
export function descriptorOf(socket: object): number {
  const handle: unknown = '_handle' in socket ? socket._handle : null;
  return typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number' ? handle.fd : -1;
}
