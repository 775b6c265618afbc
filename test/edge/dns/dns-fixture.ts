/** A DNS frontend on ports of its own, and what asks it. */
import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';
import {bareBind, bareFrontend} from '../../../src/config/proxy-defaults.ts';
import type {DnsConfig, DnsZone} from '../../../src/config/proxy-value.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {run} from '../../../src/core/command.ts';
import {appName} from '../../../src/core/ids.ts';
import {createLog} from '../../../src/core/log.ts';
import type {AppAccess} from '../../../src/edge/app-access.ts';
import type {DnsApp} from '../../../src/edge/dns/app-records.ts';
import {openDnsFrontend} from '../../../src/edge/dns/dns-frontend.ts';
import {encodeName} from '../../../src/edge/dns/name.ts';
import type {Frontend} from '../../../src/edge/frontend.ts';
import {openRefusalLog} from '../../../src/edge/refusal-log.ts';
import {FakeApps} from '../edge-fixture.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

export const testZone: DnsZone = {
  name: 'apps.example.com',
  ttlSeconds: 60,
  negativeTtlSeconds: 30,
  addresses: [],
  records: [
    {name: 'www', type: 'CNAME', ttlSeconds: null, data: 'blog'},
    {name: 'out', type: 'CNAME', ttlSeconds: null, data: 'www.example.net.'},
    {name: 'loop', type: 'CNAME', ttlSeconds: null, data: 'loop2'},
    {name: 'loop2', type: 'CNAME', ttlSeconds: null, data: 'loop'},
    {name: '@', type: 'MX', ttlSeconds: 300, data: '10 mail'},
    {name: 'mail', type: 'A', ttlSeconds: null, data: '192.0.2.25'},
    {name: 'mail', type: 'AAAA', ttlSeconds: null, data: '2001:db8::25'},
    {name: '_sip._tcp', type: 'SRV', ttlSeconds: null, data: '1 2 5060 mail'},
    {name: 'text', type: 'TXT', ttlSeconds: null, data: '"one" "two words"'},
    {name: 'a.deep', type: 'A', ttlSeconds: null, data: '192.0.2.1'},
    {name: '*.wild', type: 'A', ttlSeconds: null, data: '192.0.2.9'},
    {name: 'sub', type: 'NS', ttlSeconds: null, data: 'ns.sub'},
    {name: 'ns.sub', type: 'A', ttlSeconds: null, data: '192.0.2.53'},
    {name: 'big', type: 'TXT', ttlSeconds: null, data: 'x'.repeat(3060)},
  ],
};

const apps: ReadonlyMap<string, DnsApp> = new Map([
  [
    'blog',
    {
      name: appName('blog'),
      expose: [
        {protocol: 'tcp', port: 80},
        {protocol: 'udp', port: 443},
      ],
    },
  ],
  ['wiki.team', {name: appName('wiki.team'), expose: []}],
]);

export interface TestDns extends AsyncDisposable {
  readonly frontend: Frontend;
  readonly apps: FakeApps;
  readonly udpPort: number;
  readonly tcpPort: number;
}

export async function openTestDns(
  settings: Partial<DnsConfig> & {readonly access?: FakeApps; readonly host?: string; readonly clientTimeoutMs?: number; readonly maxconn?: number} = {},
): Promise<TestDns> {
  const {access = new FakeApps(true), host = '127.0.0.1', clientTimeoutMs = 60_000, maxconn = 1000, ...dns} = settings;
  const log = createLog('silent');
  const refusals = openRefusalLog(log, systemClock);
  const port = await freePort(host);
  const frontend = await openDnsFrontend({
    config: {
      ...bareFrontend({name: 'dns', position}),
      mode: 'dns',
      // dig asks UDP and TCP at one port.
      binds: [bareBind({protocol: 'udp', host, port, position}), bareBind({protocol: 'tcp', host, port, position})],
      clientTimeoutMs,
      maxconn,
      dns: {zones: [testZone], forwardTo: [], responsesPerSecond: null, ...dns},
    },
    apps: access satisfies AppAccess,
    findApp: (name) => apps.get(name) ?? null,
    ipv6Only: () => false,
    clock: systemClock,
    log,
    refusals,
  });
  return {
    frontend,
    apps: access,
    udpPort: port,
    tcpPort: port,
    async [Symbol.asyncDispose]() {
      frontend.stopAccepting();
      frontend.cut();
      await frontend.ended();
      refusals[Symbol.dispose]();
    },
  };
}

/** A port that was free for UDP a moment ago; below those that the system gives away, so that it is still. */
export async function freePort(host: string): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.trunc(Math.random() * 10_000);
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    try {
      const bound = once(socket, 'listening');
      socket.bind({port, address: host, exclusive: true});
      await bound;
      return port;
    } catch {
      // In use: another one.
    } finally {
      socket.close();
    }
  }
}

export interface DigAnswer {
  readonly status: string;
  readonly flags: readonly string[];
  /** `name ttl class type data`, one blank between. */
  readonly answers: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
  readonly text: string;
}

export async function dig(dns: {readonly udpPort: number}, ...args: string[]): Promise<DigAnswer> {
  const host = args.some((arg) => arg.startsWith('@')) ? [] : ['@127.0.0.1'];
  const {stdout} = await run(['dig', ...host, '-p', String(dns.udpPort), '+tries=1', '+time=5', '+nocookie', ...args], {timeoutMs: 20_000});
  const section = (name: string): string[] => {
    const text = new RegExp(`;; ${name} SECTION:\\n((?:[^\\n]+\\n)*)`).exec(stdout)?.[1] ?? '';
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/\s+/g, ' '));
  };
  return {
    status: /status: (\w+)/.exec(stdout)?.[1] ?? 'none',
    flags: (/flags: ([a-z ]*);/.exec(stdout)?.[1] ?? '').split(' '),
    answers: section('ANSWER'),
    authority: section('AUTHORITY'),
    additional: section('ADDITIONAL'),
    text: stdout,
  };
}

/** A question for a name, as a program would send it. */
export function question(name: string, {type = 1, id = 0x1234, flags = 0x0100, edns = false} = {}): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(edns ? 1 : 0, 10);
  const opt = edns ? Buffer.from([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]) : Buffer.alloc(0);
  return Buffer.concat([header, encodeName(name), Buffer.from([type >> 8, type & 0xff, 0, 1]), opt]);
}

export interface Asker extends AsyncDisposable {
  readonly socket: Socket;
  readonly received: Buffer[];
  send(message: Uint8Array): void;
}

/** A socket that sends what it is told to the frontend. */
export async function openAsker(port: number): Promise<Asker> {
  const socket = createSocket('udp4');
  const received: Buffer[] = [];
  socket.on('message', (message) => received.push(message));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    socket,
    received,
    send: (message) => socket.send(message, port, '127.0.0.1'),
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, 'close');
    },
  };
}
