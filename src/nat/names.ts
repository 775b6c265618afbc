import type {GatewayIdentity} from '../core/ids.ts';

/** Names of this gateway's kernel objects. Interface names have at most 15 characters. */
export function tableName(identity: GatewayIdentity): string {
  return `picogate_${identity}`;
}

export function tunName(identity: GatewayIdentity): string {
  return `pg${identity}t`;
}

export function vethName(identity: GatewayIdentity, index: number): string {
  return `pg${identity}v${index}`;
}

export function namespaceName(identity: GatewayIdentity, index: number): string {
  return `picogate-${identity}-${index}`;
}

/**
 * Connections from this local address to apps are no traffic: they keep no app awake, and wake none. Like all from loopback they reach the app
 * from the gateway's address.
 */
export const unnoticedAddress = '127.80.71.87';

/** Where `ip netns` keeps its namespaces. */
export const namespaceDirectory = '/run/netns';

/** What the names of all interfaces of a gateway begin with. */
export function interfacePrefix(identity: GatewayIdentity): string {
  return `pg${identity}`;
}

export function namespacePrefix(identity: GatewayIdentity): string {
  return `picogate-${identity}-`;
}
