/** The keywords of `global`. */
import {gatewayLog, keySource, otlpUrl, privateRange, redisUrl} from './global-shapes.ts';
import {processVariable, processVariableFormat} from './global-variable-shape.ts';
import {keyword, ours, theirList, theirs, withFrontend} from './keyword.ts';
import {globalLog} from './log-shape.ts';
import {memoryMark} from './memory-marks.ts';
import {pricePerGbHour} from './price-shape.ts';
import {basePath, defaultPath, presetEnvironment, setEnvironment, tlsBindDefaults, tlsServerDefaults, unsetEnvironment} from './process-shapes.ts';
import {duration, flagLine, hostDirectory, hostPath, integer, placedWord, size, textLine, word} from './shapes.ts';
import {statsSocket} from './stats-shapes.ts';
import {store} from './store-shape.ts';
import {unixBind} from './unix-bind-shape.ts';
import {wakeRatePerSource} from './wake-rate.ts';
import {leaseTime, worker} from './worker-shape.ts';

const oursInGlobal = {...ours, sections: ['global']} as const;
const theirsInGlobal = {...theirs, sections: ['global']} as const;

export const globalKeywords = {
  'gateway-log': keyword({
    ...oursInGlobal,
    shape: gatewayLog,
    absent: 'json',
    description:
      "The form of the gateway's own log on standard error, and how much it says (info; the variable `PICOGATE_LOG` counts where the line does not say). " +
      'Lines about sessions go where `log` says.',
  }),
  otlp: keyword({
    ...oursInGlobal,
    shape: otlpUrl,
    absent: 'none',
    description:
      'An OpenTelemetry collector that gets a trace of each wake, over HTTP. Without this line the variables `OTEL_EXPORTER_OTLP_ENDPOINT`, ' +
      '`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` count; `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_SERVICE_NAME` always do. See "Traces" above.',
  }),
  redis: keyword({...oursInGlobal, shape: redisUrl, absent: 'a private Redis', description: 'Where the state of the apps is kept.'}),
  'state-dir': keyword({
    ...oursInGlobal,
    shape: hostDirectory(),
    absent: '/var/lib/picogate',
    description: 'Everything this gateway keeps. Two gateways on a host need two of them.',
  }),
  'dynamic-apps': keyword({
    ...oursInGlobal,
    shape: flagLine(),
    description: 'Apps can be added while the gateway runs (`picogate app add`), although the configuration has none. Where it has one, they can in any case.',
  }),
  'runtime-dir': keyword({...oursInGlobal, shape: hostDirectory(), absent: '`run` in state-dir', description: 'Sockets and mounts of the running gateway.'}),
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
  worker: keyword({
    ...oursInGlobal,
    shape: worker,
    absent: 'this host is the only one',
    description:
      'This host is one of several workers that share `redis`, `store` and `private-range`; an app runs on one of them at a time. The others reach it at ' +
      '`address`, where each exposed port of an app has one of `ports` (20000-29999), and where it is checked from elsewhere another one for that. `memory` and ' +
      '`apps` limit what is woken here. ' +
      'Example: [worker.cfg](../config/worker.cfg).',
  }),
  'lease-time': keyword({
    ...oursInGlobal,
    shape: leaseTime,
    absent: '15s',
    description: 'How long an app stays with a worker that is not heard of; then another one may wake it. The same on all workers, 1s at least.',
  }),
  criu: keyword({...oursInGlobal, shape: hostPath(), absent: 'as set up, else from PATH', description: 'The program criu.'}),
  'keep-generations': keyword({
    ...oursInGlobal,
    shape: integer({min: 1, max: 100}),
    absent: '2',
    description: 'How many checkpoints of an app are kept.',
  }),
  'memory-high': keyword({
    ...oursInGlobal,
    shape: memoryMark,
    absent: 'no limit',
    description:
      'When the apps that are awake use more memory together, those that were used longest ago are put to sleep, until they use less than `memory-low`. ' +
      'A share is one of the memory of this host, or of the control group that the apps are in, if that has less. Files that could be read again do not count.',
  }),
  'memory-low': keyword({...oursInGlobal, shape: memoryMark, absent: 'three quarters of `memory-high`', description: 'See there.'}),
  'rate-active': keyword({
    ...oursInGlobal,
    shape: pricePerGbHour,
    absent: 'none',
    description: 'What an hour of a GB costs that an app uses while it is awake; `picogate usage` has a column for it. In whatever currency.',
  }),
  'rate-stored': keyword({...oursInGlobal, shape: pricePerGbHour, absent: 'none', description: 'The same for what is kept of it, awake or asleep.'}),
  'global wake-rate': keyword({
    ...oursInGlobal,
    written: 'wake-rate',
    shape: wakeRatePerSource,
    absent: 'no limit, since one address may stand for many clients (NAT, a load balancer)',
    description: 'How often one source address may wake apps, all together, so that a scanner cannot keep everything awake.',
  }),
  'hard-stop-after': keyword({
    ...theirsInGlobal,
    shape: duration(),
    absent: '30s',
    description: 'How long stopping may take; then what is left is killed.',
  }),
  maxconn: keyword({
    ...theirs,
    sections: ['global', ...withFrontend],
    shape: integer({min: 1, max: 2 ** 31 - 1}),
    absent: '10000 in `global`, which is also the value of a frontend',
    description: 'Sessions at a time: in `global` of all frontends together.',
  }),
  nbthread: keyword({
    ...theirsInGlobal,
    shape: integer({min: 1, max: 64}),
    absent: '1',
    description:
      'How many threads serve the frontends of modes tcp and http, each on a processor of its own. One that needs what threads cannot share (stick tables, `maxconn` ' +
      'of servers, ...: see "Several threads" in [operations.md](operations.md)) is served by the first only, and a warning says why.',
  }),
  'global log': keyword({
    ...theirList,
    written: 'log',
    sections: ['global'],
    shape: globalLog,
    description: 'Where lines go of what runs without a proxy, and of proxies with `log global`.',
  }),
  'log-send-hostname': keyword({
    ...theirsInGlobal,
    shape: textLine({optional: true}),
    description: 'The name of this host in log lines; without one, that of the system.',
  }),
  'stats socket': keyword({...theirList, sections: ['global'], shape: statsSocket, description: 'Where the runtime API answers.'}),
  'stats timeout': keyword({...theirsInGlobal, shape: duration(), absent: '10s', description: 'How long a connection to the runtime API may be idle.'}),
  'server-state-file': keyword({
    ...theirsInGlobal,
    shape: placedWord('<file>'),
    description: 'Where an operator keeps what `show servers state` of the runtime API says, for servers to begin with after a reload or start.',
  }),
  'server-state-base': keyword({
    ...theirsInGlobal,
    shape: placedWord('<directory>'),
    absent: 'the directory of the configuration file',
    description: 'Where relative paths of files with states of servers start.',
  }),
  node: keyword({...theirsInGlobal, shape: word('<name>'), description: 'What statistics call this process.'}),
  'global user': keyword({
    ...theirsInGlobal,
    written: 'user',
    shape: word('<user>'),
    description: 'Who runs the process once everything is open; no effect with apps, which need root.',
  }),
  'global group': keyword({...theirsInGlobal, written: 'group', shape: word('<group>'), description: 'The group of the process.'}),
  uid: keyword({...theirsInGlobal, shape: integer({min: 0, max: 2 ** 32 - 2}), description: 'The same as `user`, by number.'}),
  gid: keyword({...theirsInGlobal, shape: integer({min: 0, max: 2 ** 32 - 2}), description: 'The same as `group`, by number.'}),
  daemon: keyword({...theirsInGlobal, repeated: 'allowed', shape: flagLine(), negated: false, description: 'Run in the background.'}),
  'master-worker': keyword({
    ...theirsInGlobal,
    repeated: 'allowed',
    shape: textLine({optional: true}),
    description: 'A master that starts workers, and replaces them on SIGUSR2.',
  }),
  pidfile: keyword({...theirsInGlobal, shape: hostPath(), description: 'Where the number of the process is written.'}),
  'ulimit-n': keyword({
    ...theirsInGlobal,
    shape: integer({min: 1, max: 2 ** 31 - 1}),
    description: 'How many descriptors the process may at least have open; more than the hard limit needs root. Read at the start.',
  }),
  'unix-bind': keyword({
    ...theirsInGlobal,
    shape: unixBind,
    description: 'What unix sockets of `bind` lines have where these do not say otherwise; the prefix stands before each path.',
  }),
  localpeer: keyword({...theirsInGlobal, shape: word('<name>'), description: 'A name among peers. No effect: stick tables are local.'}),
  'ca-base': keyword({
    ...theirsInGlobal,
    repeated: 'allowed',
    shape: basePath('caBase'),
    description: 'Where relative paths of `ca-file` and `crl-file` start, on the lines that follow.',
  }),
  'crt-base': keyword({
    ...theirsInGlobal,
    repeated: 'allowed',
    shape: basePath('crtBase'),
    description: 'Where relative paths of `crt` start, on the lines that follow.',
  }),
  'default-path': keyword({
    ...theirsInGlobal,
    repeated: 'allowed',
    shape: defaultPath,
    absent: 'config',
    description: 'Where other relative paths start, on the lines that follow.',
  }),
  setenv: keyword({
    ...theirList,
    sections: ['global'],
    shape: setEnvironment,
    description: 'Gives an environment variable a value, for the lines that follow.',
  }),
  presetenv: keyword({...theirList, sections: ['global'], shape: presetEnvironment, description: 'The same, if it has none.'}),
  unsetenv: keyword({...theirList, sections: ['global'], shape: unsetEnvironment, description: 'Removes environment variables, for the lines that follow.'}),
  'set-var': keyword({
    ...theirList,
    sections: ['global'],
    shape: processVariable,
    description: 'Sets a variable of the process (`proc.`) before anything is served; `set var` of the runtime API, and rules, change it.',
  }),
  'set-var-fmt': keyword({...theirList, sections: ['global'], shape: processVariableFormat, description: 'The same with a text that has expressions in it.'}),
  'tune.bufsize': keyword({
    ...theirsInGlobal,
    shape: size({min: 1024, minText: '1k'}),
    absent: '16k',
    description:
      'What is kept of a body that rules wait for (`wait-for-body`, `option http-buffer-request`); what is longer is looked at as far as it is kept.',
  }),
  'ssl-default-bind-options': keyword({...theirsInGlobal, shape: tlsBindDefaults, description: 'Versions and tickets of TLS where a `bind` says nothing.'}),
  'ssl-default-bind-ciphers': keyword({...theirsInGlobal, shape: word('<ciphers>'), description: 'Ciphers up to TLS 1.2 where a `bind` says nothing.'}),
  'ssl-default-bind-ciphersuites': keyword({...theirsInGlobal, shape: word('<suites>'), description: 'Ciphers of TLS 1.3 where a `bind` says nothing.'}),
  'ssl-default-server-options': keyword({...theirsInGlobal, shape: tlsServerDefaults, description: 'The same for servers.'}),
  'ssl-default-server-ciphers': keyword({...theirsInGlobal, shape: word('<ciphers>'), description: 'The same for servers.'}),
  'ssl-default-server-ciphersuites': keyword({...theirsInGlobal, shape: word('<suites>'), description: 'The same for servers.'}),
} as const;
