/**
 * What is listening and what is connected in an app's network namespace, from /proc/PID/net (proc_pid_net(5)):
 * no packet has to be sent to find out whether a server is ready.
 */
import {errorCode} from '../core/errors.ts';
import {readKernelTable} from '../core/kernel-files.ts';

export interface PortUse {
  /** Ports with a listening TCP socket. */
  readonly tcp: ReadonlySet<number>;
  /** Ports with a bound UDP socket. */
  readonly udp: ReadonlySet<number>;
  /** TCP connections that exist, except those that only wait for their end. */
  readonly flows: readonly Flow[];
  /** Something was received that the app has not read, or sent that its peer has not acknowledged. */
  readonly hasUnfinished: boolean;
}

/** An established connection of an app, seen from the app. */
export interface Flow {
  readonly protocol: 'tcp';
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

// States of include/net/tcp_states.h that matter here.
const established = 0x01;
const listening = 0x0a;
const timeWait = 0x06;
/** Also that of a bound UDP socket. */
const closed = 0x07;
/** FIN_WAIT1, LAST_ACK, CLOSING: the app has closed its side. */
const closing: ReadonlySet<number> = new Set([0x04, 0x09, 0x0b]);

interface Row {
  readonly localPort: number;
  readonly remoteAddress: string | null;
  readonly remotePort: number;
  readonly state: number;
  /** Bytes sent and not acknowledged, bytes (of a listener: connections) received and not read. */
  readonly sendQueue: number;
  readonly receiveQueue: number;
}

/** An address as /proc prints it: 32-bit words in host byte order. Null for IPv6 that is not an IPv4 address in disguise. */
function parseAddress(hex: string): string | null {
  const v4 = hex.length === 8 ? hex : /^0{16}FFFF0000(?<v4>[0-9A-F]{8})$/i.exec(hex)?.groups?.['v4'];
  if (v4 === undefined) return null;
  return [6, 4, 2, 0].map((at) => Number.parseInt(v4.slice(at, at + 2), 16)).join('.');
}

/** Parses /proc/net/{tcp,tcp6,udp,udp6}; a line that does not look like a socket is passed over. */
export function parseSocketTable(text: string): Row[] {
  const rows: Row[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local, remote, state, queues] = line.trim().split(/\s+/);
    const [, localPort] = local?.split(':') ?? [];
    const [remoteHex, remotePort] = remote?.split(':') ?? [];
    if (localPort === undefined || remoteHex === undefined || remotePort === undefined || state === undefined) continue;
    rows.push({
      localPort: Number.parseInt(localPort, 16),
      remoteAddress: parseAddress(remoteHex),
      remotePort: Number.parseInt(remotePort, 16),
      state: Number.parseInt(state, 16),
      sendQueue: Number.parseInt(queues?.split(':')[0] ?? '0', 16),
      receiveQueue: Number.parseInt(queues?.split(':')[1] ?? '0', 16),
    });
  }
  return rows;
}

async function readTable(pid: number, name: string): Promise<Row[]> {
  try {
    return parseSocketTable(await readKernelTable(`/proc/${pid}/net/${name}`));
  } catch (error) {
    // A kernel without IPv6 has no tcp6; a process that has just ended has no table, and no socket either.
    if (['ENOENT', 'ESRCH', 'EINVAL'].includes(errorCode(error) ?? '')) return [];
    throw error;
  }
}

/** A FIN that is not acknowledged counts one byte; the kernel looks after it, whatever becomes of the app. */
function isUnfinished({state, sendQueue, receiveQueue}: Row): boolean {
  if (state === timeWait) return false;
  return closing.has(state) ? sendQueue > 1 : sendQueue > 0 || receiveQueue > 0;
}

/** @param pid a process in the app's network namespace */
export async function readPortUse(pid: number): Promise<PortUse> {
  const [tcp, tcp6, udp, udp6] = await Promise.all(['tcp', 'tcp6', 'udp', 'udp6'].map((name) => readTable(pid, name)));
  const tcpRows = [...(tcp ?? []), ...(tcp6 ?? [])];
  const flows: Flow[] = [];
  for (const row of tcpRows) {
    if (row.state === listening || row.state === timeWait || row.state === closed || row.remoteAddress === null) continue;
    flows.push({protocol: 'tcp', localPort: row.localPort, remoteAddress: row.remoteAddress, remotePort: row.remotePort});
  }
  const udpRows = [...(udp ?? []), ...(udp6 ?? [])];
  return {
    tcp: new Set(tcpRows.filter((row) => row.state === listening).map((row) => row.localPort)),
    udp: new Set(udpRows.map((row) => row.localPort)),
    flows,
    hasUnfinished: [...tcpRows, ...udpRows].some(isUnfinished),
  };
}

/**
 * Established TCP connections with others: not those between processes of the app. Its network has no IPv6 but its own.
 * @param pid a process in the app's network namespace
 */
export async function countConnections(pid: number, ownAddress: string): Promise<number> {
  const rows = (await Promise.all(['tcp', 'tcp6'].map((name) => readTable(pid, name)))).flat();
  const isOther = (address: string | null): boolean => address !== null && address !== ownAddress && !address.startsWith('127.');
  return rows.filter(({state, remoteAddress}) => state === established && isOther(remoteAddress)).length;
}
