/** The keywords of `app`. */
import {argv, exposedPorts, imageName, pathInside, processors, timers, user, variables, volume} from './app-shapes.ts';
import {awakeWhile} from './awake-while.ts';
import {keyword, ours} from './keyword.ts';
import {readiness, restoreFailure} from './lifecycle-shapes.ts';
import {schedule} from './schedule.ts';
import {choice, duration, durationOrNever, flagLine, hostPath, integer, milliseconds, onOrOff, size} from './shapes.ts';
import {wakeRate} from './wake-rate.ts';
import {workerLabel} from './worker-shape.ts';

const oursInApp = {...ours, sections: ['app']} as const;
const inDefaultsToo = {...ours, repeated: 'warning', sections: ['defaults', 'app']} as const;

export const appKeywords = {
  'hibernate-after': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['defaults', 'app'],
    shape: durationOrNever(),
    absent: '60s',
    description: 'How long an app must be without traffic before it is put to sleep.',
  }),
  'min-awake': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['defaults', 'app'],
    shape: milliseconds(),
    absent: '0',
    description: 'How long an app stays awake after a wake, unless an operator or a shortage of memory puts it to sleep.',
  }),
  'awake-while': keyword({
    ...ours,
    repeated: 'allowed',
    sections: ['defaults', 'app'],
    shape: awakeWhile,
    absent: 'never',
    description:
      'What keeps an app awake besides traffic; of several lines each one. `connections`: established TCP connections with others, idle ones too. ' +
      '`cpu > 5%`: more use of processors than so much of one, over the last seconds. `never`: nothing of what the lines before say.',
  }),
  pin: keyword({
    ...oursInApp,
    shape: flagLine(),
    description: 'Once awake, the app is not put to sleep while the gateway runs, as after `picogate pin`. It is not woken for that.',
  }),
  rootfs: keyword({
    ...oursInApp,
    shape: hostPath(),
    description: 'The root file system: a directory, which is never written to. Relative to the configuration file. This or `image` is required.',
  }),
  image: keyword({
    ...oursInApp,
    shape: imageName,
    description:
      'The root file system: an image of the store, which also says what `exec`, `user`, `workdir` and `expose` are when they are absent. This or `rootfs` is required.',
  }),
  exec: keyword({...oursInApp, shape: argv, description: 'The program that is started. Required, unless the image names one.'}),
  expose: keyword({...oursInApp, repeated: 'allowed', shape: exposedPorts, absent: 'those of the image', description: 'Ports on which the app answers.'}),
  memory: keyword({...oursInApp, shape: size({min: 1024 ** 2, minText: '1m'}), absent: 'no limit', description: 'Limit of memory.'}),
  cpus: keyword({...oursInApp, shape: processors, absent: 'no limit', description: 'Limit of processor time, 0.5 is half a processor.'}),
  pids: keyword({...oursInApp, shape: integer({min: 1, max: 4_194_304}), absent: 'no limit', description: 'Limit of processes and threads.'}),
  env: keyword({
    ...oursInApp,
    repeated: 'allowed',
    shape: variables,
    description: 'Environment variables. There are no others but those of the image, over which these win, and what the runtime sets.',
  }),
  user: keyword({...oursInApp, shape: user, absent: 'that of the image, or `0:0`', description: 'Who runs the program, by names of the app or numbers.'}),
  workdir: keyword({...oursInApp, shape: pathInside, absent: 'that of the image, or `/`', description: 'Where the program is started.'}),
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
  'on-restore-failure': keyword({
    ...inDefaultsToo,
    shape: restoreFailure,
    absent: 'retry',
    description:
      'What is tried when a checkpoint cannot be restored, before the wake fails. `retry`: the same a few times more, which the other words but `fail` ' +
      'include. `previous`: the generations before it, newest first, so what the app did since is lost. `cold-start`: a start from its files. The newest ' +
      'checkpoint is kept in any case until there is another one.',
  }),
  restart: keyword({
    ...inDefaultsToo,
    shape: choice(['never', 'on-failure', 'always']),
    absent: 'never',
    description:
      'Whether an app that ends by itself is started again from its files, after 100 ms, and later each time that it does not last: `on-failure` when its ' +
      'exit status is not 0. `never`: the next request starts it.',
  }),
  ready: keyword({
    ...inDefaultsToo,
    shape: readiness,
    absent: 'every exposed port is listened on',
    description:
      'When a started app is ready: something listens on these TCP ports, or GET is answered with one of these statuses (absent: 200-399; the port is the ' +
      'first exposed one of TCP), or at once. `http` is asked after a restore too. What asks does not count as traffic.',
  }),
  'timeout ready': keyword({
    ...inDefaultsToo,
    shape: duration(),
    absent: '`timeout wake`',
    description: 'How long a started app may take to become ready.',
  }),
  paging: keyword({
    ...oursInApp,
    shape: choice(['lazy', 'eager']),
    absent: 'lazy',
    description: 'Memory at a wake: page by page as it is needed, or all of it first.',
  }),
  'checkpoint-every': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['defaults', 'app'],
    shape: durationOrNever(),
    absent: 'never',
    description:
      'A checkpoint is made so often of an app that is awake: it sleeps for a moment, in which its clients are held. So much at most is lost with its worker.',
  }),
  'on-worker': keyword({
    ...oursInApp,
    repeated: 'allowed',
    shape: workerLabel,
    description: 'A label that a worker must have for the app; of several, all.',
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
  'wake-rate': keyword({
    ...oursInApp,
    shape: wakeRate,
    absent: 'no limit',
    description:
      'How often sessions may wake the app: `10/1m` is ten times in a minute, be it at once. More of them are refused while it sleeps, as when no server ' +
      'is available; an app that is awake takes all. Packets in mode nat do not count.',
  }),
  timers: keyword({
    ...ours,
    repeated: 'warning',
    sections: ['defaults', 'app'],
    shape: timers,
    absent: 'off',
    description: 'Whether its own timers wake the app when they are due. With `min` those that are due sooner after it fell asleep, or as often, do not count.',
  }),
  'wake-at': keyword({
    ...oursInApp,
    repeated: 'allowed',
    shape: schedule,
    description: 'A schedule by which the app is woken, as cron writes it, in local time. Several lines are several schedules.',
  }),
  'log-size': keyword({...oursInApp, shape: size({min: 4096, minText: '4k'}), absent: '1m', description: 'How much of the output of the app is kept.'}),
} as const;
