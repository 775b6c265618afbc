/** The options of `server` and `default-server` that say how its health is found out. */
import {isIP} from 'node:net';
import type {Arguments} from './arguments.ts';
import {onErrorActions} from './health.ts';
import {flag, type OptionSpec} from './options.ts';
import {refer} from './scope.ts';
import type {ServerDraft} from './server-draft.ts';
import {choice} from './shapes.ts';
import {takeProtocols} from './tls-options.ts';
import {parseInteger, parsePort, parseTime} from './units.ts';

function scheduleTime(key: 'intervalMs' | 'fastIntervalMs' | 'downIntervalMs'): OptionSpec<ServerDraft> {
  return {
    usage: '<time>',
    apply: (draft, args) => {
      draft.schedule[key] = takeTime(args);
    },
  };
}

function scheduleCount(key: 'rise' | 'fall'): OptionSpec<ServerDraft> {
  return {
    usage: '<number>',
    apply: (draft, args) => {
      draft.schedule[key] = args.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 1_000_000}));
    },
  };
}

function takeTime(args: Arguments): number {
  const {position} = args.peek() ?? args;
  const value = args.takeParsed('<time>', parseTime);
  if (value === 0) throw args.invalid({text: '0', position}, 'more than 0 is needed');
  return value;
}

function setSchedule(key: 'tls' | 'sendProxy', value: boolean): OptionSpec<ServerDraft> {
  return flag((draft) => {
    draft.schedule[key] = value;
  });
}

/** Health checks, and what becomes of sessions when they change a server's state. */
export const checkOptions: Readonly<Record<string, OptionSpec<ServerDraft>>> = {
  check: flag((draft) => {
    draft.check = true;
  }),
  'no-check': flag((draft) => {
    draft.check = false;
  }),
  inter: scheduleTime('intervalMs'),
  fastinter: scheduleTime('fastIntervalMs'),
  downinter: scheduleTime('downIntervalMs'),
  rise: scheduleCount('rise'),
  fall: scheduleCount('fall'),
  port: {
    usage: '<port>',
    apply: (draft, args) => {
      draft.schedule.port = args.takeParsed('<port>', parsePort);
    },
  },
  addr: {
    usage: '<address>',
    apply: (draft, args) => {
      draft.schedule.address = takeAddress(args);
    },
  },
  'check-ssl': setSchedule('tls', true),
  'no-check-ssl': setSchedule('tls', false),
  'check-sni': {
    usage: '<name>',
    apply: (draft, args) => {
      draft.schedule.sni = args.take('<name>').text;
    },
  },
  'check-alpn': {
    usage: '<protocols>',
    apply: (draft, args) => {
      draft.schedule.alpn = takeProtocols(args);
    },
  },
  'check-proto': {
    usage: 'h1 | none',
    apply: (draft, args) => {
      draft.checkProto = choice(['h1', 'none'], ['h2', 'fcgi']).read(args);
    },
  },
  'check-send-proxy': setSchedule('sendProxy', true),
  'no-check-send-proxy': setSchedule('sendProxy', false),
  observe: {
    usage: 'layer4 | layer7 | none',
    apply: (draft, args) => {
      const {position} = args.peek() ?? args;
      draft.passive.observe = {what: choice(['layer4', 'layer7', 'none']).read(args), position};
    },
  },
  'error-limit': {
    usage: '<number>',
    apply: (draft, args) => {
      draft.passive.errorLimit = args.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 2 ** 31 - 1}));
    },
  },
  'on-error': {
    usage: onErrorActions.join(' | '),
    apply: (draft, args) => {
      draft.passive.onError = choice(onErrorActions).read(args);
    },
  },
  'agent-check': flag((draft) => {
    draft.agentCheck = true;
  }),
  'no-agent-check': flag((draft) => {
    draft.agentCheck = false;
  }),
  'agent-addr': {
    usage: '<address>',
    apply: (draft, args) => {
      draft.agent.address = takeAddress(args);
    },
  },
  'agent-port': {
    usage: '<port>',
    apply: (draft, args) => {
      draft.agent.port = args.takeParsed('<port>', parsePort);
    },
  },
  'agent-inter': {
    usage: '<time>',
    apply: (draft, args) => {
      draft.agent.intervalMs = takeTime(args);
    },
  },
  'agent-send': {
    usage: '<text>',
    apply: (draft, args) => {
      draft.agent.send = args.take('<text>').text;
    },
  },
  track: {
    usage: '[<backend>/]<server>',
    apply: (draft, args) => {
      const word = args.take('<server>');
      refer(args.scope, 'server', word);
      draft.track = word.text;
    },
  },
  'on-marked-down': {
    usage: 'shutdown-sessions',
    apply: (draft, args) => {
      draft.onMarkedDown = choice(['shutdown-sessions']).read(args);
    },
  },
  'on-marked-up': {
    usage: 'shutdown-backup-sessions',
    apply: (draft, args) => {
      draft.onMarkedUp = choice(['shutdown-backup-sessions']).read(args);
    },
  },
};

function takeAddress(args: Arguments): string {
  const word = args.take('<address>');
  const host = word.text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host) === 0 && !/^[A-Za-z0-9_.-]+$/.test(host)) throw args.invalid(word, 'an address is expected');
  return host;
}
