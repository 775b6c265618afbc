/**
 * The demonstration: a real nginx that goes to sleep when nobody asks, and wakes for the first request. It tells what
 * happens from the gateway's own events, and asks a few times itself before it leaves the floor to the visitor.
 */
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {get} from 'node:http';
import {join} from 'node:path';
import {setTimeout as pause} from 'node:timers/promises';
import {styleText} from 'node:util';
import {sharedRootfs} from '../../tools/debian-rootfs.ts';
import {assert, CodedError, errorMessage} from '../core/errors.ts';
import {createLog} from '../core/log.ts';
import type {Event} from '../store/events.ts';
import {loadValid} from './configuration.ts';
import {bytes, milliseconds} from './format.ts';
import {openGateway} from './gateway.ts';
import {stopSignal} from './stop-signal.ts';

const page = `Hello from nginx. I slept until you asked.\n`;
const nginxConfiguration = `user root;
daemon off;
worker_processes 1;
error_log stderr;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen 80; location / { return 200 "${page.trim()}\\n"; } }
}
`;

function configuration(options: {stateDir: string; rootfs: string; files: string; port: number}): string {
  return `global
    state-dir ${options.stateDir}
defaults
    mode tcp
    hibernate-after 3s
app web
    rootfs ${options.rootfs}
    exec   /usr/sbin/nginx -c /srv/nginx.conf
    volume ${options.files}:/srv:ro
    expose tcp 80
listen http
    bind 127.0.0.1:${options.port}
    server nginx app:web:80
`;
}

function say(label: string, text: string, colour: Parameters<typeof styleText>[0] = 'reset'): void {
  const time = new Date().toISOString().slice(11, 19);
  process.stdout.write(`  ${styleText('dim', time, {stream: process.stdout})}  ${styleText(colour, label.padEnd(9), {stream: process.stdout})} ${text}\n`);
}

/** One line for each event that a visitor cares about. */
function narrate(event: Event): void {
  const number = (name: string): number => (typeof event[name] === 'number' ? event[name] : 0);
  switch (event.kind) {
    case 'state':
      if (event['to'] === 'reviving')
        say('request', event['from'] === 'stopped' ? 'the first of all: nginx has to be started' : 'held, while nginx wakes', 'yellow');
      if (event['to'] === 'draining') say('idle', 'nobody has asked for 3 seconds');
      return;
    case 'woken':
      if (event['cold'] === 1) say('running', `started from nothing in ${milliseconds(number('ms'))}`, 'green');
      else
        say(
          'awake',
          `in ${milliseconds(number('ms'))}: ${number('predictedPages')} pages installed before they were touched, ${number('faults')} faulted in`,
          'green',
        );
      return;
    case 'hibernated':
      say('asleep', `its processes are gone, its memory is free; ${bytes(number('bytesWritten'))} written in ${milliseconds(number('ms'))}`, 'cyan');
      return;
    case 'error':
      say('error', typeof event['message'] === 'string' ? event['message'] : 'unknown', 'red');
      return;
    default:
  }
}

function request(port: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    get({host: '127.0.0.1', port, agent: false, signal}, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(body));
    }).on('error', reject);
  });
}

/** Asks three times, each time when nginx is asleep again; then it is the visitor's turn. */
async function visit(port: number, asleep: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    if (round > 0) await asleep();
    await pause(round > 0 ? 2000 : 0, undefined, {signal});
    const started = performance.now();
    const body = await request(port, signal);
    say('answer', `after ${milliseconds(performance.now() - started)}: ${body.trim()}`, 'bold');
  }
  process.stdout.write(
    `\n  Now you: ${styleText('bold', `curl http://127.0.0.1:${port}/`, {stream: process.stdout})}   (Ctrl-C ends it, and leaves nothing behind)\n\n`,
  );
}

/** Runs until interrupted. @returns the exit status */
export async function demo({port}: {port: number}): Promise<number> {
  if (process.getuid?.() !== 0) throw new CodedError('ERR_NOT_ROOT', 'Cannot show anything: root is needed for namespaces and CRIU', {source: 'host'});
  process.stdout.write(
    `\n  ${styleText('bold', 'Picogate', {stream: process.stdout})}: a real nginx on http://127.0.0.1:${port}/ that sleeps when nobody asks\n\n`,
  );
  const stopped = stopSignal();
  const stateDir = await mkdtemp('/var/tmp/picogate-demo-');
  try {
    say('set-up', 'a small root file system with nginx, from Debian packages');
    const rootfs = await sharedRootfs({packages: ['nginx-light']});
    await writeFile(join(stateDir, 'nginx.conf'), nginxConfiguration);
    const file = join(stateDir, 'picogate.cfg');
    await writeFile(file, configuration({stateDir, rootfs, files: stateDir, port}));
    const config = await loadValid([file], {quiet: true});
    await using gateway = await openGateway(config, {role: 'all', log: createLog(process.env['PICOGATE_LOG'] ?? 'error')});
    const {apps} = gateway;
    assert(apps !== null, 'The demonstration has an app');
    const end = new AbortController();
    const waitingForSleep = new Set<() => void>();
    const narrator = (async () => {
      for await (const {event} of apps.events.follow({after: '0', signal: end.signal})) {
        narrate(event);
        if (event.kind !== 'hibernated') continue;
        for (const wakeUp of waitingForSleep) wakeUp();
        waitingForSleep.clear();
      }
    })();
    const asleep = (): Promise<void> => new Promise((resolve) => void waitingForSleep.add(resolve));
    const visiting = visit(port, asleep, end.signal).catch((error: unknown) => {
      if (!end.signal.aborted) say('error', errorMessage(error), 'red');
    });
    await stopped;
    end.abort();
    for (const wakeUp of waitingForSleep) wakeUp();
    await Promise.all([narrator, visiting]);
  } finally {
    await rm(stateDir, {recursive: true, force: true});
  }
  process.stdout.write('\n  Everything is removed again.\n');
  return 0;
}
