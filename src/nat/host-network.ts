/** Runs what the pure modules render: `ip -batch`, `nft -f`, settings under /proc/sys. One process per change; none of it is on the wake path. */
import {writeFileSync} from 'node:fs';
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {run} from '../core/command.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import type {GatewayIdentity} from '../core/ids.ts';
import {removeCommands} from './links.ts';
import {interfacePrefix, namespaceDirectory, namespaceName, namespacePrefix, vethName} from './names.ts';
import {removeTableText} from './nft-rules.ts';

const timeoutMs = 10_000;
/** A namespace with its interface takes some 10 ms to remove, more on a busy host. */
const removalTimeoutMs = 200;

/** @throws CommandError */
export async function applyNft(text: string): Promise<void> {
  await run(['nft', '-f', '-'], {timeoutMs, input: text});
}

/** @throws CommandError; with `force` all commands are run, and those that failed reported at the end */
export async function applyIp(commands: string, options: {namespace?: string; force?: boolean; timeoutMs?: number} = {}): Promise<void> {
  const namespace = options.namespace === undefined ? [] : ['-n', options.namespace];
  await run(['ip', ...namespace, ...(options.force === true ? ['-force'] : []), '-batch', '-'], {timeoutMs: options.timeoutMs ?? timeoutMs, input: commands});
}

/** @param key below net.ipv4, with slashes. @throws CodedError ERR_SYSCTL_FAILED */
export async function setSysctl(key: string, value: string): Promise<void> {
  const path = `/proc/sys/net/ipv4/${key}`;
  try {
    await writeFile(path, value);
  } catch (cause) {
    throw new CodedError('ERR_SYSCTL_FAILED', `Cannot set "${path}" to ${value}`, {source: 'host', cause});
  }
}

/** Interfaces of ours carry no IPv6, so that they do not chatter. To be called where `/proc` shows the interface's namespace, before it is up. */
export function disableIpv6(interfaceName: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${interfaceName}/disable_ipv6`, '1');
  } catch (error) {
    // A kernel without IPv6.
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/** @returns whether forwarding had to be switched on; it stays on, since others may have come to rely on it */
export async function enableForwarding(): Promise<boolean> {
  if ((await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() === '1') return false;
  await setSysctl('ip_forward', '1');
  return true;
}

/** Entries of a directory that need not exist. */
async function listDirectory(path: string, prefix: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => name.startsWith(prefix));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Of the network namespace of this process: what `/sys` shows may be another one's. */
async function listInterfaces(prefix: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/net/dev', 'utf8')).split('\n');
  return lines.map((line) => line.split(':')[0]?.trim() ?? '').filter((name) => name.startsWith(prefix));
}

/** Removes what is there of these. */
export async function removeLinks(links: {readonly interfaces: readonly string[]; readonly namespaces: readonly string[]}): Promise<void> {
  const count = links.interfaces.length + links.namespaces.length;
  if (count === 0) return;
  try {
    await applyIp(removeCommands(links), {force: true, timeoutMs: timeoutMs + count * removalTimeoutMs});
  } catch (error) {
    // What is gone already cannot be deleted, and that is all that goes wrong here.
    if (errorCode(error) !== 'ERR_COMMAND_FAILED') throw error;
  }
}

/**
 * Removes the namespaces, interfaces and nftables table of a gateway, whatever is there of them.
 * @param kept numbers of apps whose namespaces and interfaces stay, and the table with them, which keeps their packets on this host
 * @throws CodedError ERR_LEFTOVERS when something stays; CommandError
 */
export async function removeLeftovers(identity: GatewayIdentity, kept: readonly number[] = []): Promise<void> {
  const keptNames = new Set(kept.flatMap((index) => [vethName(identity, index), namespaceName(identity, index)]));
  const isLeft = (name: string): boolean => !keptNames.has(name);
  const list = async (): Promise<{interfaces: string[]; namespaces: string[]}> => ({
    interfaces: (await listInterfaces(interfacePrefix(identity))).filter(isLeft),
    namespaces: (await listDirectory(namespaceDirectory, namespacePrefix(identity))).filter(isLeft),
  });
  await removeLinks(await list());
  if (kept.length === 0) await applyNft(removeTableText(identity));
  const left = await list();
  if (left.interfaces.length + left.namespaces.length > 0) {
    throw new CodedError('ERR_LEFTOVERS', `Cannot remove ${[...left.interfaces, ...left.namespaces].join(', ')}`, {source: 'host'});
  }
}
