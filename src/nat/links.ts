/** The commands for `ip -batch` that make and remove interfaces and namespaces. Pure text; drivers run it. */

import {keptPath} from '../core/kept-path.ts';
import {namespaceDirectory} from './names.ts';

export interface AppLink {
  readonly namespace: string;
  readonly interfaceName: string;
  readonly address: string;
  readonly gateway: string;
  readonly index: number;
}

/** Fixed hardware addresses (locally administered), so that both ends know each other without asking. */
function hardwareAddress(end: 'host' | 'app', index: number): string {
  const byte = (value: number): string => (value & 255).toString(16).padStart(2, '0');
  return `02:70:67:${end === 'host' ? '01' : '02'}:${byte(index >>> 8)}:${byte(index)}`;
}

/** On the host: the namespace and the pair. */
export function hostCommands(link: AppLink): string {
  const app = hardwareAddress('app', link.index);
  const host = hardwareAddress('host', link.index);
  return `netns add ${link.namespace}
link add ${link.interfaceName} address ${host} type veth peer name eth0 address ${app} netns ${link.namespace}
link set ${link.interfaceName} up
neigh replace ${link.address} lladdr ${app} dev ${link.interfaceName} nud permanent
`;
}

/** In the namespace. */
export function appCommands(link: AppLink): string {
  return `link set lo up
addr add ${link.address}/32 dev eth0
link set eth0 up
neigh replace ${link.gateway} lladdr ${hardwareAddress('host', link.index)} dev eth0 nud permanent
route add default via ${link.gateway} dev eth0 onlink
`;
}

/** The TUN is there already. Its queue takes the packets of a burst until the thread has read them. */
export function tunCommands(options: {interfaceName: string; gateway: string; network: string}): string {
  return `link set ${options.interfaceName} txqueuelen 4096
addr add ${options.gateway}/32 dev ${options.interfaceName}
link set ${options.interfaceName} up
route add ${options.network} dev ${options.interfaceName} src ${options.gateway}
`;
}

/** Run with `-force`: what is gone already is fine. */
export function removeCommands(options: {interfaces: readonly string[]; namespaces: readonly string[]}): string {
  return [...options.interfaces.map((name) => `link del ${name}`), ...options.namespaces.map((name) => `netns del ${name}`)].join('\n').concat('\n');
}

export function namespacePath(namespace: string): string {
  return keptPath(namespaceDirectory, namespace);
}
