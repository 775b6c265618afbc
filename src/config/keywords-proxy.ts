/** The keywords that frontends and backends have whatever their mode is. */

import {acl, useBackend, useServer} from './acl-shapes.ts';
import {ruleShape} from './actions/action-table.ts';
import {httpAfterResponseActions, httpRequestActions, httpResponseActions} from './actions/http-actions.ts';
import {readRedirect} from './actions/redirect.ts';
import {tcpConnectionActions, tcpContentActions, tcpResponseActions, tcpSessionActions} from './actions/tcp-actions.ts';
import {bind} from './bind-shape.ts';
import {addresses, forward, record, zone} from './dns-shapes.ts';
import {keyword, ours, proxies, theirList, theirs, withBackend, withFrontend, withProxies} from './keyword.ts';
import {proxyLog} from './log-shape.ts';
import {healthCheck} from './probe-shapes.ts';
import {redirectRule} from './rule-shapes.ts';
import {choice, duration, flagLine, integer, milliseconds, onOrOff, placedWord, textLine, timeout, word} from './shapes.ts';
import {waitPage} from './wait-page.ts';

type Place = 'defaults' | 'frontend' | 'backend' | 'listen';

function timeoutOf(sections: readonly Place[], description: string, absent?: string) {
  return keyword({...theirs, sections, shape: timeout(), description, ...(absent === undefined ? {} : {absent})});
}

const inDns = {...ours, repeated: 'allowed', sections: ['frontend', 'listen']} as const;

export const proxyKeywords = {
  mode: keyword({
    ...theirs,
    sections: withProxies,
    shape: choice(['tcp', 'udp', 'nat', 'http', 'dns'], ['log', 'health', 'spop', 'haterm']),
    absent: 'tcp',
    description:
      'How traffic is carried: `tcp`, `udp`, `http` and `dns` by this program, `nat` by the kernel, TCP and UDP, with the address of the client kept.',
  }),
  description: keyword({...theirs, sections: ['global', 'app', ...proxies], shape: textLine(), description: 'A text for people, which statistics show.'}),
  disabled: keyword({...theirList, sections: withProxies, shape: flagLine(), description: 'The section does nothing.'}),
  enabled: keyword({...theirList, sections: withProxies, shape: flagLine(), description: 'The opposite of `disabled` in defaults.'}),
  bind: keyword({
    ...theirList,
    sections: ['frontend', 'listen'],
    shape: bind,
    description: 'Where to listen. No address or `*` is every IPv4 address. `udp@` in mode nat: datagrams. Options below.',
  }),
  default_backend: keyword({
    ...theirs,
    sections: withFrontend,
    shape: placedWord('<backend>'),
    absent: 'in `listen`: itself',
    description: 'Which backend answers when no `use_backend` says otherwise.',
  }),
  use_backend: keyword({
    ...theirList,
    sections: ['frontend', 'listen'],
    shape: useBackend,
    description: 'Which backend answers; the first rule that applies counts.',
  }),
  'use-server': keyword({
    ...theirList,
    sections: ['backend', 'listen'],
    shape: useServer,
    description: 'Which server answers; the first rule that applies counts.',
  }),
  acl: keyword({
    ...theirList,
    sections: withProxies,
    shape: acl,
    description: 'Names a test for the conditions of the lines that follow. Several lines of a name: one of them is enough. Flags: `-i -f -m -M -n -u --`.',
  }),
  'tcp-request connection': keyword({
    ...theirList,
    sections: withFrontend,
    shape: ruleShape(tcpConnectionActions),
    description: 'As soon as a client is accepted.',
  }),
  'tcp-request session': keyword({
    ...theirList,
    sections: withFrontend,
    shape: ruleShape(tcpSessionActions),
    description: 'After the PROXY header and the handshake of TLS.',
  }),
  'tcp-request content': keyword({...theirList, sections: withProxies, shape: ruleShape(tcpContentActions), description: 'With the first bytes at hand.'}),
  'tcp-request inspect-delay': keyword({
    ...theirs,
    sections: withProxies,
    shape: milliseconds(),
    description: 'How long bytes are waited for that `content` rules ask about.',
  }),
  'tcp-response content': keyword({
    ...theirList,
    sections: withBackend,
    shape: ruleShape(tcpResponseActions),
    description:
      'When the server is reached, and again with what it says until each can be decided, where there is an `inspect-delay`; mode http: with the head of an answer.',
  }),
  'tcp-response inspect-delay': keyword({
    ...theirs,
    sections: withBackend,
    shape: duration(),
    description: 'How long bytes of the server are waited for that `tcp-response content` rules ask about.',
  }),
  'http-request': keyword({...theirList, sections: withProxies, shape: ruleShape(httpRequestActions), description: 'What is done with requests, in order.'}),
  'http-response': keyword({...theirList, sections: withProxies, shape: ruleShape(httpResponseActions), description: 'What is done with answers of servers.'}),
  'http-after-response': keyword({
    ...theirList,
    sections: withProxies,
    shape: ruleShape(httpAfterResponseActions),
    description: 'What is done with all answers.',
  }),
  redirect: keyword({...theirList, sections: withProxies, shape: redirectRule(readRedirect), description: 'As `http-request redirect`, after those rules.'}),
  log: keyword({
    ...theirList,
    sections: withProxies,
    shape: proxyLog,
    negated: {kind: 'none'},
    description: 'Where the lines of sessions go. `no log`: nowhere, whatever the defaults say.',
  }),
  'log-tag': keyword({
    ...theirs,
    sections: ['global', ...withProxies],
    shape: word('<text>'),
    absent: 'picogate',
    description: 'The name of the program in log lines.',
  }),
  backlog: keyword({
    ...theirs,
    sections: withFrontend,
    shape: integer({min: 1, max: 2 ** 31 - 1}),
    description: 'Connections that the kernel keeps until they are accepted.',
  }),
  'rate-limit sessions': keyword({
    ...theirs,
    sections: withFrontend,
    shape: integer({min: 0, max: 2 ** 31 - 1}),
    description: 'New sessions a second, above which they wait.',
  }),
  id: keyword({...theirs, sections: proxies, shape: integer({min: 1, max: 2 ** 31 - 1}), description: 'A number for the runtime API. No effect.'}),
  'timeout client': timeoutOf(withFrontend, 'How long a client may be silent. 0: no limit.', '1h'),
  'timeout connect': timeoutOf(withBackend, 'How long connecting to a server may take.', '5s'),
  'timeout server': timeoutOf(withBackend, 'How long a server may be silent. 0: no limit.', '1h'),
  'timeout http-request': timeoutOf(withProxies, 'How long the head of a request may take.', '`timeout client`'),
  'timeout http-keep-alive': timeoutOf(withProxies, 'How long the next request may be waited for.', '`timeout http-request`'),
  'timeout queue': timeoutOf(withBackend, 'How long a session may wait for a free place.', '`timeout connect`'),
  'timeout check': timeoutOf(withBackend, 'How long a health check may take once it is connected.'),
  'timeout tunnel': timeoutOf(
    withBackend,
    'How long each side may be silent in mode tcp and after an upgrade, instead of `timeout client` and `timeout server`.',
  ),
  'timeout client-fin': timeoutOf(withFrontend, 'How long a client may be silent that was told of the end of its server.', '`timeout client`'),
  'timeout server-fin': timeoutOf(withBackend, 'How long a server may be silent that was told of the end of its client.', '`timeout server`'),
  'timeout tarpit': timeoutOf(withProxies, 'How long `tarpit` holds a client.', '`timeout connect`'),
  'timeout wake': keyword({
    ...ours,
    repeated: 'warning',
    sections: ['app', ...withBackend],
    shape: duration(),
    absent: '10s',
    description: 'How long a wake may take and a client is held. A backend without one of its own takes the longest that its apps state in their sections.',
  }),
  'wait-page': keyword({
    ...ours,
    repeated: 'warning',
    sections: withBackend,
    shape: waitPage,
    absent: 'off',
    description:
      'Mode http: what a browser is shown that waits for a wake longer than this (2s), instead of being held. See "A page for those who wait" above.',
  }),
  'health-check': keyword({
    ...ours,
    repeated: 'allowed',
    sections: withProxies,
    shape: healthCheck,
    description:
      'What is a health check from outside: it wakes no app and keeps none awake. One line of several is enough. See "Health checks from outside" above.',
  }),
  'answer-checks': keyword({
    ...ours,
    repeated: 'warning',
    sections: withProxies,
    shape: onOrOff(),
    absent: 'on',
    description: 'Whether the checks that `health-check` lines of this section tell are answered in the place of an app that sleeps, or refused.',
  }),
  zone: keyword({...inDns, shape: zone, description: 'Mode dns: a zone whose names are answered here; those of apps wake them.'}),
  record: keyword({...inDns, shape: record, description: 'Mode dns: a static record of a zone. Names are whole ones, also in the data.'}),
  forward: keyword({...inDns, shape: forward, absent: 'they are refused', description: 'Mode dns: where questions about other names go.'}),
  'answer-with': keyword({
    ...inDns,
    shape: addresses,
    absent: 'those at which the question came in',
    description: 'Mode dns: the addresses that names of apps have.',
  }),
  'response-rate': keyword({
    ...ours,
    sections: ['frontend', 'listen'],
    shape: integer({min: 1, max: 1_000_000}),
    absent: 'no limit',
    description: 'Mode dns: answers a second to one network that are alike.',
  }),
} as const;
