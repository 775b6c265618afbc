/** A program that tests put into a namespace and tell, line by line on standard input, to be a server or a client. */
import {createSocket} from 'node:dgram';
import {readFileSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {createInterface} from 'node:readline';
import koffi from 'koffi';

interface Request {
  readonly id: number;
  readonly what: 'listen' | 'connect' | 'send' | 'ask' | 'end' | 'events' | 'keepalive' | 'listen udp' | 'ask udp' | 'retransmissions' | 'accepted' | 'ports';
  readonly host?: string;
  readonly port?: number;
  readonly text?: string;
  readonly connection?: number;
}

const setsockopt = koffi.load('libc.so.6').func('int setsockopt(int fd, int level, int option, const int *value, unsigned int size)');
const connections: {socket: Socket; events: string[]}[] = [];
const accepted: string[] = [];
const errorOf = (error: Error): string => ('code' in error ? String(error.code) : error.message);

function track(socket: Socket): number {
  const events: string[] = [];
  socket.on('data', (data) => events.push(`data ${data.toString()}`));
  socket.on('end', () => events.push('end'));
  socket.on('error', (error) => events.push(`error ${errorOf(error)}`));
  return connections.push({socket, events}) - 1;
}

function listen(port: number): Promise<unknown> {
  const server = createServer({allowHalfOpen: true}, (socket) => {
    accepted.push(`${socket.remoteAddress}`);
    socket.on('data', (data) => socket.write(data));
    socket.on('end', () => {
      accepted.push('end');
      socket.end();
    });
    socket.on('error', (error) => accepted.push(`error ${errorOf(error)}`));
  });
  return new Promise((resolve) => server.listen(port, '0.0.0.0', () => resolve('listening')));
}

function connectTo(host: string, port: number): Promise<unknown> {
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({host, port, allowHalfOpen: true});
    const connection = track(socket);
    socket.once('connect', () => resolve({connection, ms: performance.now() - startedAtMs}));
    socket.once('error', (error) => resolve({error: errorOf(error), ms: performance.now() - startedAtMs}));
  });
}

function listenUdp(port: number): Promise<unknown> {
  const socket = createSocket('udp4');
  socket.on('message', (data, from) => socket.send(`${data.toString()}!`, from.port, from.address));
  return new Promise((resolve) => socket.bind(port, '0.0.0.0', () => resolve('listening')));
}

function askUdp(host: string, port: number, text: string): Promise<unknown> {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    const done = (answer: unknown): void => {
      socket.close();
      resolve(answer);
    };
    socket.once('message', (data) => done({text: data.toString()}));
    socket.once('error', (error) => done({error: errorOf(error)}));
    socket.connect(port, host, () => socket.send(text));
  });
}

function keepalive(socket: Socket): string {
  socket.setKeepAlive(true, 1000);
  const {fd} = (socket as unknown as {_handle: {fd: number}})._handle;
  const [tcp, interval, count] = [6, 5, 6] as const;
  setsockopt(fd, tcp, interval, [1], 4);
  setsockopt(fd, tcp, count, [2], 4);
  return 'on';
}

async function perform(request: Request): Promise<unknown> {
  const {host = '127.0.0.1', port = 0, text = ''} = request;
  const {socket, events} = connections[request.connection ?? -1] ?? {};
  switch (request.what) {
    case 'listen':
      return listen(port);
    case 'connect':
      return connectTo(host, port);
    case 'send':
      return socket?.write(text);
    case 'ask':
      return new Promise((resolve) => {
        socket?.once('data', (data) => resolve(data.toString()));
        socket?.once('error', (error) => resolve(errorOf(error)));
        socket?.write(text);
      });
    case 'end':
      socket?.end();
      return 'ended';
    case 'events':
      return events;
    case 'keepalive':
      return socket === undefined ? 'none' : keepalive(socket);
    case 'listen udp':
      return listenUdp(port);
    case 'ask udp':
      return askUdp(host, port, text);
    case 'ports':
      return connections.map((each) => each.socket.localPort);
    case 'accepted':
      return accepted;
    case 'retransmissions': {
      const [names, values] = readFileSync('/proc/net/snmp', 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('Tcp:'))
        .map((line) => line.split(' '));
      return Number(values?.[names?.indexOf('RetransSegs') ?? -1]);
    }
    default:
      return request.what satisfies never;
  }
}

for await (const line of createInterface({input: process.stdin})) {
  const request = JSON.parse(line) as Request;
  void perform(request).then((result) => process.stdout.write(`${JSON.stringify({id: request.id, result})}\n`));
}
process.exit(0);
