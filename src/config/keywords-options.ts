/** `option ...`. What is not here is in known-keywords.ts. */
import {type CheckRequest, httpCheckOption, smtpCheck} from './check-shapes.ts';
import type {TcpCheckStep} from './health.ts';
import {addressHeader} from './http-shapes.ts';
import {keyword, theirList, withBackend, withFrontend, withProxies} from './keyword.ts';
import {checkUser, fixedSteps, type LogOption, logOption, postgresCheck, redispatchInterval} from './option-shapes.ts';
import {ldapSteps, redisSteps, tlsHelloSteps} from './protocol-checks.ts';
import type {AddressHeader} from './proxy-value.ts';
import {choice, flagLine} from './shapes.ts';

/** Null: `no option ...`. */
type Steps = readonly TcpCheckStep[] | null;
type Place = 'defaults' | 'frontend' | 'backend' | 'listen';

/** An option that is on or, with `no`, off. */
function onOff(sections: readonly Place[], description: string) {
  return keyword<boolean>({...theirList, sections, shape: flagLine(), negated: false, description});
}

const checks = {...theirList, sections: withBackend} as const;
const addressOption = {...theirList, sections: withProxies, negated: null} as const;

export const optionKeywords = {
  'option httplog': keyword<LogOption>({
    ...theirList,
    sections: withProxies,
    shape: logOption(['clf']),
    negated: false,
    description: 'Log lines of requests, as HAProxy writes them; with `wake`, our own fields come last: `wake.app`, `wake.ms` and `wake.trigger`.',
  }),
  'option tcplog': keyword<LogOption>({
    ...theirList,
    sections: withProxies,
    shape: logOption([]),
    negated: false,
    description: 'The same for connections.',
  }),
  'option jsonlog': keyword<boolean>({
    ...theirList,
    origin: 'picogate',
    sections: withProxies,
    shape: flagLine(),
    negated: false,
    description: 'Log lines of requests and connections as JSON objects. Lines are cut at `len` bytes (1024), so a `log` line for them should say `len 8192`.',
  }),
  'option httpslog': onOff(withProxies, 'Log lines of requests, with what was agreed for TLS.'),
  'option dontlognull': onOff(withFrontend, 'Connections without data leave no line.'),
  'option http-ignore-probes': onOff(withFrontend, 'Connections that are closed, or time out, before a byte has come leave no line and get no answer.'),
  'option dontlog-normal': onOff(withFrontend, 'Only what went wrong leaves a line.'),
  'option log-separate-errors': onOff(withFrontend, 'Lines of what went wrong have the level `err`.'),
  'option logasap': onOff(
    withFrontend,
    'Log lines come when the head of the answer is there, in mode tcp the connection to the server. Bytes and times have a plus sign then.',
  ),
  'option http-buffer-request': onOff(
    withProxies,
    'Rules, and the choice of a server, wait for the body of a request: for all of it, or `tune.bufsize`, for `timeout http-request` at most.',
  ),
  'option socket-stats': onOff(withFrontend, 'Statistics of each bind, by its `name`, in `show stat` and on the page.'),
  'option http-use-proxy-header': onOff(withFrontend, 'Accepted. No effect.'),
  'option forwardfor': keyword<AddressHeader | null>({
    ...addressOption,
    shape: addressHeader('X-Forwarded-For'),
    description: 'A header that tells servers the address of the client.',
  }),
  'option originalto': keyword<AddressHeader | null>({
    ...addressOption,
    shape: addressHeader('X-Original-To'),
    description: 'A header that tells servers the address that the client connected to.',
  }),
  'option http-keep-alive': onOff(withProxies, 'Connections of both sides stay open after an answer. So it is without an option.'),
  'option http-server-close': onOff(withProxies, 'That of the server is closed after an answer.'),
  'option httpclose': onOff(withProxies, 'Both are closed after an answer.'),
  'option http-restrict-req-hdr-names': keyword<'preserve' | 'delete' | 'reject'>({
    ...theirList,
    sections: withProxies,
    shape: choice(['preserve', 'delete', 'reject']),
    absent: 'preserve',
    description:
      'What becomes of request headers whose names have other characters than letters, digits and hyphens, after the rules: they stay, are removed, or the request is answered 403.',
  }),
  'option redispatch': keyword<number | null>({
    ...theirList,
    sections: withBackend,
    shape: redispatchInterval,
    negated: null,
    description: 'Another server may be tried: for the last attempt, or after so many.',
  }),
  'option abortonclose': onOff(withBackend, 'Sessions whose client has gone do not wait for a server.'),
  'option allbackups': onOff(withBackend, 'All backup servers are used, not only the first.'),
  'option tcpka': onOff(withProxies, 'The kernel asks both sides whether they are still there.'),
  'option clitcpka': onOff(withFrontend, 'The same for clients.'),
  'option srvtcpka': onOff(withBackend, 'The same for servers.'),
  'option log-health-checks': onOff(withBackend, 'Results of health checks are logged when they change.'),
  'option httpchk': keyword<CheckRequest | null>({
    ...checks,
    shape: httpCheckOption,
    negated: null,
    description: 'Health checks are requests: `OPTIONS /` if nothing else is said.',
  }),
  'option tcp-check': keyword<boolean>({...checks, shape: flagLine(), negated: false, description: 'Health checks are the steps of `tcp-check` lines.'}),
  'option smtpchk': keyword<Steps>({...checks, shape: smtpCheck, negated: null, description: 'Health checks say hello to a mail server.'}),
  'option redis-check': keyword<Steps>({...checks, shape: fixedSteps(redisSteps), negated: null, description: 'Health checks send PING to Redis.'}),
  'option mysql-check': keyword<Steps>({
    ...checks,
    shape: checkUser,
    negated: null,
    description: 'Health checks wait for the greeting of MySQL, and log in if there is a user.',
  }),
  'option pgsql-check': keyword<Steps>({...checks, shape: postgresCheck, negated: null, description: 'Health checks begin to log in to PostgreSQL.'}),
  'option ldap-check': keyword<Steps>({...checks, shape: fixedSteps(ldapSteps), negated: null, description: 'Health checks log in to a directory.'}),
  'option ssl-hello-chk': keyword<Steps>({
    ...checks,
    shape: fixedSteps(tlsHelloSteps),
    negated: null,
    description: 'Health checks send the hello of TLS and want an answer.',
  }),
} as const;
