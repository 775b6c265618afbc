/**
 * The keyword table: what each section may hold, what follows a keyword, what it means. Parsing, checking, suggestions
 * and docs/configuration.md all follow from it. A keyword of HAProxy that is implemented moves here from
 * known-keywords.ts. A name of two words (`timeout connect`) is a keyword of its own.
 */
import {argv, exposedPorts, imageName, pathInside, processors, user, variables, volume} from './app-shapes.ts';
import {keySource, privateRange, redisUrl} from './global-shapes.ts';
import {bindAddresses, defaultServer, server} from './proxy-shapes.ts';
import {choice, duration, durationOrNever, hostPath, integer, onOrOff, placedWord, type Shape, size, textLine, timeout} from './shapes.ts';
import {store} from './store-shape.ts';

export type SectionKind = 'global' | 'defaults' | 'app' | 'frontend' | 'backend' | 'listen';

export interface SectionSpec {
  readonly kind: SectionKind;
  readonly usage: string;
  readonly named: 'no' | 'optional' | 'yes';
  /** May take its defaults `from` a named section of defaults. */
  readonly from: boolean;
  readonly description: string;
}

export const sections: readonly SectionSpec[] = [
  {kind: 'global', usage: 'global', named: 'no', from: false, description: 'The gateway itself. Several such sections count as one.'},
  {
    kind: 'defaults',
    usage: 'defaults [<name>] [from <defaults>]',
    named: 'optional',
    from: true,
    description: 'Values for the sections that follow, up to the next `defaults`; by name, for sections with `from`.',
  },
  {kind: 'app', usage: 'app <name> [from <defaults>]', named: 'yes', from: true, description: 'A server that can be put to sleep.'},
  {kind: 'frontend', usage: 'frontend <name> [from <defaults>]', named: 'yes', from: true, description: 'Where clients connect.'},
  {kind: 'backend', usage: 'backend <name> [from <defaults>]', named: 'yes', from: true, description: 'Servers that answer.'},
  {
    kind: 'listen',
    usage: 'listen <name> [from <defaults>]',
    named: 'yes',
    from: true,
    description: 'A frontend and a backend of one name in one section.',
  },
];

export interface Keyword<Value> {
  readonly sections: readonly SectionKind[];
  /** Whose keyword it is. HAProxy's mean what they mean there. */
  readonly origin: 'haproxy' | 'picogate';
  readonly shape: Shape<Value>;
  /** Twice in a section: an error, a warning (the last one counts), or more of the same. */
  readonly repeated: 'error' | 'warning' | 'allowed';
  /** What holds when it is absent, as it would be written. */
  readonly absent?: string;
  /** One line for the reference. */
  readonly description: string;
}

/** Makes TypeScript infer the value from the shape. */
function keyword<Value>(spec: Keyword<Value>): Keyword<Value> {
  return spec;
}

const ours = {origin: 'picogate', repeated: 'error'} as const;
const oursInApp = {...ours, sections: ['app']} as const;
const oursInGlobal = {...ours, sections: ['global']} as const;
const theirs = {origin: 'haproxy', repeated: 'warning'} as const;
const proxies = ['frontend', 'backend', 'listen'] as const;
const withFrontend = ['defaults', 'frontend', 'listen'] as const;
const withBackend = ['defaults', 'backend', 'listen'] as const;
const port = {min: 1, max: 2 ** 31 - 1} as const;

export const keywords = {
  redis: keyword({...oursInGlobal, shape: redisUrl, absent: 'a private Redis', description: 'Where the state of the apps is kept.'}),
  'state-dir': keyword({
    ...oursInGlobal,
    shape: hostPath(),
    absent: '/var/lib/picogate',
    description: 'Everything this gateway keeps. Two gateways on a host need two of them.',
  }),
  'runtime-dir': keyword({...oursInGlobal, shape: hostPath(), absent: '`run` in state-dir', description: 'Sockets and mounts of the running gateway.'}),
  store: keyword({
    ...oursInGlobal,
    shape: store,
    absent: '`store` in state-dir',
    description: 'Where checkpoints are kept: a directory, or a bucket of S3 (see above). Option `path-style`: the bucket is named in the path.',
  }),
  'cache-size': keyword({
    ...oursInGlobal,
    shape: size({min: 1024 ** 2, minText: '1m'}),
    absent: '10g',
    description: 'With a store on S3: how much of it is kept on this host too. What is not stored there yet is kept beyond that.',
  }),
  'encryption-key': keyword({
    ...oursInGlobal,
    repeated: 'allowed',
    shape: keySource,
    absent: 'no encryption',
    description:
      'Where the key is that encrypts what is stored. Of several the first encrypts, the others only decrypt what was written with them. ' +
      'Only its owner may read a file (mode 600); a variable is removed from the environment. Example: [encrypted.cfg](../config/encrypted.cfg).',
  }),
  'private-range': keyword({
    ...oursInGlobal,
    shape: privateRange,
    absent: 'auto',
    description: 'The addresses of the apps, /16 to /24. `auto`: those that the checkpoints in a store on S3 have, else the first free /16 from 10.77.0.0 on.',
  }),
  criu: keyword({...oursInGlobal, shape: hostPath(), absent: 'as set up, else from PATH', description: 'The program criu.'}),
  'keep-generations': keyword({
    ...oursInGlobal,
    shape: integer({min: 1, max: 100}),
    absent: '2',
    description: 'How many checkpoints of an app are kept.',
  }),
  'hard-stop-after': keyword({
    ...theirs,
    sections: ['global'],
    shape: duration(),
    absent: '30s',
    description: 'How long stopping may take; then what is left is killed.',
  }),
  maxconn: keyword({
    ...theirs,
    sections: ['global', ...withFrontend],
    shape: integer(port),
    absent: '10000 in `global`, which is also the value of a frontend',
    description: 'Sessions at a time: in `global` of all frontends together.',
  }),
  description: keyword({...theirs, sections: ['global', 'app', ...proxies], shape: textLine(), description: 'A text for people. No effect.'}),

  mode: keyword({
    ...theirs,
    sections: ['defaults', ...proxies],
    shape: choice(['tcp', 'udp', 'nat'], ['http', 'dns', 'log', 'health', 'spop', 'haterm']),
    absent: 'tcp',
    description: 'How traffic is carried: `tcp` and `udp` by this program, `nat` by the kernel, TCP and UDP, with the address of the client kept.',
  }),
  bind: keyword({
    ...theirs,
    repeated: 'allowed',
    sections: ['frontend', 'listen'],
    shape: bindAddresses,
    description: 'Where to listen. No address or `*` is every IPv4 address. `udp@` in mode nat: datagrams.',
  }),
  default_backend: keyword({
    ...theirs,
    sections: withFrontend,
    shape: placedWord('<backend>'),
    absent: 'in `listen`: itself',
    description: 'Which backend answers.',
  }),
  server: keyword({
    ...theirs,
    repeated: 'allowed',
    sections: ['backend', 'listen'],
    shape: server,
    description: 'An app and one of its exposed ports, or an ordinary server. Option: `maxqueue <number>`, how many sessions may wait for a wake (1024).',
  }),
  'default-server': keyword({
    ...theirs,
    repeated: 'allowed',
    sections: withBackend,
    shape: defaultServer,
    description: 'Options for the servers that follow.',
  }),
  'timeout client': keyword({...theirs, sections: withFrontend, shape: timeout(), absent: '1h', description: 'How long a client may be silent. 0: no limit.'}),
  'timeout connect': keyword({...theirs, sections: withBackend, shape: timeout(), absent: '5s', description: 'How long connecting to a server may take.'}),
  'timeout server': keyword({...theirs, sections: withBackend, shape: timeout(), absent: '1h', description: 'How long a server may be silent. 0: no limit.'}),
  'timeout wake': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['app', ...withBackend],
    shape: duration(),
    absent: '10s',
    description: 'How long a wake may take and a client is held. A backend without one of its own takes the longest that its apps state in their sections.',
  }),

  'hibernate-after': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['defaults', 'app'],
    shape: durationOrNever(),
    absent: '60s',
    description: 'How long an app must be without traffic before it is put to sleep.',
  }),
  rootfs: keyword({
    ...oursInApp,
    shape: hostPath(),
    description: 'The root file system: a directory, which is never written to. Relative to the configuration file. This or `image` is required.',
  }),
  image: keyword({...oursInApp, shape: imageName, description: 'The root file system: an image of the store. This or `rootfs` is required.'}),
  exec: keyword({...oursInApp, shape: argv, description: 'The program that is started. Required.'}),
  expose: keyword({...oursInApp, repeated: 'allowed', shape: exposedPorts, description: 'Ports on which the app answers.'}),
  memory: keyword({...oursInApp, shape: size({min: 1024 ** 2, minText: '1m'}), absent: 'no limit', description: 'Limit of memory.'}),
  cpus: keyword({...oursInApp, shape: processors, absent: 'no limit', description: 'Limit of processor time, 0.5 is half a processor.'}),
  pids: keyword({...oursInApp, shape: integer({min: 1, max: 4_194_304}), absent: 'no limit', description: 'Limit of processes and threads.'}),
  env: keyword({...oursInApp, repeated: 'allowed', shape: variables, description: 'Environment variables. There are no others but what the runtime sets.'}),
  user: keyword({...oursInApp, shape: user, absent: '0:0', description: 'Who runs the program, by names of the app or numbers.'}),
  workdir: keyword({...oursInApp, shape: pathInside, absent: '/', description: 'Where the program is started.'}),
  volume: keyword({
    ...oursInApp,
    repeated: 'allowed',
    shape: volume,
    description: 'A directory or file of the host inside the app. Not part of a checkpoint.',
  }),
  start: keyword({...oursInApp, shape: choice(['lazy', 'eager']), absent: 'lazy', description: 'At the first client, or with the gateway.'}),
  'on-stop': keyword({
    ...oursInApp,
    shape: choice(['hibernate', 'kill']),
    absent: 'hibernate',
    description: 'What happens to the app when the gateway stops.',
  }),
  paging: keyword({
    ...oursInApp,
    shape: choice(['lazy', 'eager']),
    absent: 'lazy',
    description: 'Memory at a wake: page by page as it is needed, or all of it first.',
  }),
  prefetch: keyword({
    ...oursInApp,
    shape: choice(['off', 'last', 'predict']),
    absent: 'predict',
    description: 'Which pages are installed before they are touched: none, those of the last run, or those expected for what caused the wake.',
  }),
  'background-fetch': keyword({
    ...oursInApp,
    shape: onOrOff(),
    absent: 'on',
    description: 'After a wake the rest of the memory is brought here too, without hurry.',
  }),
  'read-ahead': keyword({...oursInApp, shape: onOrOff(), absent: 'on', description: 'With pages that are touched in a row come the next ones.'}),
  'log-size': keyword({...oursInApp, shape: size({min: 4096, minText: '4k'}), absent: '1m', description: 'How much of the output of the app is kept.'}),
} as const;

export type KeywordName = keyof typeof keywords;
export type ValueOf<Name extends KeywordName> = (typeof keywords)[Name] extends Keyword<infer Value> ? Value : never;

export const keywordNames: readonly KeywordName[] = Object.keys(keywords).filter(isKeywordName);

export function isKeywordName(text: string): text is KeywordName {
  return Object.hasOwn(keywords, text);
}
