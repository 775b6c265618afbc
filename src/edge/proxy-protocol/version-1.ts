/** Version 1 of the PROXY protocol: a line of text. `PROXY TCP4 192.0.2.1 192.0.2.9 56324 443` and CR, LF. */
import {isIPv4, isIPv6} from 'node:net';
import {bytesToIp, ipToBytes} from './ip-bytes.ts';
import {bareProxyHeader, type Endpoint, invalidHeader, type ProxiedAddresses, type ProxyHeaderReading} from './proxy-header.ts';

/** CR and LF included. */
export const maxLineBytes = 107;

const unknown = 'PROXY UNKNOWN';

/** @param bytes that begin with `PROXY` */
export function parseVersion1(bytes: Buffer): ProxyHeaderReading {
  const window = bytes.subarray(0, maxLineBytes);
  const end = window.indexOf('\n');
  if (end < 0) {
    if (window.length === maxLineBytes) return invalidHeader(`a line of more than ${maxLineBytes} bytes`);
    return {kind: 'incomplete', neededBytes: window.length + 1};
  }
  if (window[end - 1] !== 13) return invalidHeader('a line that ends without CR');
  const line = window.toString('latin1', 0, end - 1);
  const sizeBytes = end + 1;
  if (line === unknown || line.startsWith(`${unknown} `)) return {kind: 'complete', header: bareProxyHeader, sizeBytes};
  const addresses = parseAddresses(line);
  if (typeof addresses === 'string') return invalidHeader(addresses);
  return {kind: 'complete', header: {...bareProxyHeader, addresses}, sizeBytes};
}

/** What is wrong with the line, or what it says. */
function parseAddresses(line: string): ProxiedAddresses | string {
  const [, family = '', source = '', destination = '', sourcePort = '', destinationPort = '', ...more] = line.split(' ');
  if (family !== 'TCP4' && family !== 'TCP6') return `the protocol ${JSON.stringify(family)}`;
  if (more.length > 0) return 'more than six words';
  const isAddress = family === 'TCP4' ? isIPv4 : isPlainIPv6;
  for (const address of [source, destination]) {
    if (!isAddress(address)) return `${JSON.stringify(address)} where an IPv${family.slice(3)} address is expected`;
  }
  for (const port of [sourcePort, destinationPort]) {
    if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return `${JSON.stringify(port)} where a port is expected`;
  }
  return {
    kind: 'ip',
    transport: 'stream',
    source: {host: canonical(source), port: Number(sourcePort)},
    destination: {host: canonical(destination), port: Number(destinationPort)},
  };
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function canonical(address: string): string {
  const bytes = ipToBytes(address);
  return bytes === null ? address : bytesToIp(bytes);
}

/** As HAProxy does, addresses that a line cannot hold (those of different families, unix sockets) are `UNKNOWN`. */
export function formatVersion1(addresses: ProxiedAddresses | null): Buffer {
  const line = addresses?.kind === 'ip' ? formatAddresses(addresses.source, addresses.destination) : null;
  return Buffer.from(`${line ?? unknown}\r\n`, 'latin1');
}

function formatAddresses(source: Endpoint, destination: Endpoint): string | null {
  const from = ipToBytes(source.host);
  const to = ipToBytes(destination.host);
  if (from === null || from.length !== to?.length) return null;
  return `PROXY TCP${from.length === 4 ? 4 : 6} ${bytesToIp(from)} ${bytesToIp(to)} ${source.port} ${destination.port}`;
}
