/** The keywords of backends: servers, which one is used, how they are checked. */
import {balance, cookie, hashType} from './balance-shapes.ts';
import {httpCheckConnect, tcpCheckConnect} from './check-connect-shape.ts';
import {
  httpCheckExpect,
  httpCheckSend,
  tcpCheckExpect,
  tcpCheckSend,
  tcpCheckSendBinary,
  tcpCheckSendBinaryFormat,
  tcpCheckSendFormat,
} from './check-shapes.ts';
import {setVariableFormatStep, setVariableStep, unsetVariableStep} from './check-variable-shape.ts';
import {retryOn} from './http-shapes.ts';
import {keyword, theirList, theirs, withBackend} from './keyword.ts';
import type {CookiePersistence} from './proxy-value.ts';
import {defaultServer, server, serverTemplate} from './server-shape.ts';
import {choice, flagLine, integer, textLine, word} from './shapes.ts';
import {source} from './source-shape.ts';
import {stateFileName} from './state-file.ts';
import {stickRule, stickTable} from './stick-shapes.ts';

const inBackend = {...theirs, sections: withBackend} as const;
const listed = {...theirList, sections: ['backend', 'listen']} as const;
const checkSteps = {...theirList, sections: withBackend} as const;

export const serverKeywords = {
  server: keyword({...listed, shape: server, description: 'An app and one of its exposed ports, or an ordinary server. Options below.'}),
  'default-server': keyword({...theirList, sections: withBackend, shape: defaultServer, description: 'Options for the servers that follow.'}),
  'server-template': keyword({...listed, shape: serverTemplate, description: 'Several servers that differ in the number at the end of their names.'}),
  dispatch: keyword({
    ...theirs,
    sections: ['backend', 'listen'],
    shape: word('<address>:<port>'),
    description: 'A server without a name, of a backend that has no other.',
  }),
  balance: keyword({...inBackend, shape: balance, absent: 'roundrobin', description: 'Which server the next session gets.'}),
  'hash-type': keyword({...inBackend, shape: hashType, absent: 'map-based', description: 'How a hash becomes a server, for those algorithms that hash.'}),
  cookie: keyword<CookiePersistence | null>({
    ...inBackend,
    shape: cookie,
    negated: null,
    description: 'The cookie by which a client comes back to its server.',
  }),
  'dynamic-cookie-key': keyword({
    ...inBackend,
    shape: word('<key>'),
    description:
      '`cookie ... dynamic`: servers without a `cookie` of their own get one that is made of this secret, their address (of an app its name) and their port.',
  }),
  'stick-table': keyword({...theirs, sections: ['frontend', 'backend', 'listen'], shape: stickTable, description: 'A table of what is known about clients.'}),
  'stick on': keyword({...listed, shape: stickRule('on'), description: '`stick match` and `stick store-request` in one.'}),
  'stick match': keyword({...listed, shape: stickRule('match'), description: 'A session goes to the server that the table has for it.'}),
  'stick store-request': keyword({...listed, shape: stickRule('store-request'), description: 'The server is put into the table, by what the request says.'}),
  'stick store-response': keyword({
    ...listed,
    shape: stickRule('store-response'),
    description: 'The same by what the answer says: in mode tcp as much of it as `tcp-response content` rules wait for.',
  }),
  retries: keyword({...inBackend, shape: integer({min: 0, max: 10_000}), absent: '3', description: 'Attempts after the first one.'}),
  'retry-on': keyword({...inBackend, shape: retryOn, absent: 'conn-failure', description: 'After which events a request is sent again.'}),
  'http-send-name-header': keyword({
    ...theirs,
    sections: withBackend,
    shape: word('<name>'),
    description: 'Mode http: the header that tells a server its own name, instead of what the client sends there.',
  }),
  'http-reuse': keyword({
    ...inBackend,
    shape: choice(['never', 'safe', 'aggressive', 'always']),
    absent: 'safe',
    description: 'Whether connections to servers serve several clients.',
  }),
  fullconn: keyword({...inBackend, shape: integer({min: 1, max: 2 ** 31 - 1}), description: 'With so many sessions `minconn` has grown to `maxconn`.'}),
  'load-server-state-from-file': keyword({
    ...inBackend,
    shape: choice(['global', 'local', 'none']),
    absent: 'none',
    description: 'Which file says in what state the servers begin: that of `global`, or one of this backend alone.',
  }),
  'server-state-file-name': keyword({
    ...inBackend,
    shape: stateFileName,
    absent: 'use-backend-name',
    description: 'The file of this backend alone: `load-server-state-from-file local`.',
  }),
  source: keyword({...inBackend, shape: source, description: 'The address that connections to servers come from.'}),
  'http-check connect': keyword({
    ...checkSteps,
    shape: httpCheckConnect,
    description: 'Connects, first of all or anew: what follows is sent to and expected from there.',
  }),
  'http-check send': keyword({...checkSteps, shape: httpCheckSend, description: 'What `option httpchk` sends.'}),
  'http-check expect': keyword({
    ...checkSteps,
    shape: httpCheckExpect,
    absent: 'status 200-399',
    description: 'What an answer must be like; of several lines all.',
  }),
  'http-check disable-on-404': keyword({...checkSteps, shape: flagLine(), description: 'An answer 404 takes a server out without calling it down.'}),
  'http-check send-state': keyword({...checkSteps, shape: flagLine(), description: 'Accepted. No effect.'}),
  'http-check set-var': keyword({
    ...checkSteps,
    shape: setVariableStep,
    description: 'Sets a variable for later steps (`check.`, `sess.`) or for all (`proc.`).',
  }),
  'http-check set-var-fmt': keyword({...checkSteps, shape: setVariableFormatStep, description: 'The same with a text that has expressions in it.'}),
  'http-check unset-var': keyword({...checkSteps, shape: unsetVariableStep, description: 'Forgets a variable.'}),
  'http-check comment': keyword({...checkSteps, shape: textLine(), description: 'A text for people. No effect.'}),
  'tcp-check connect': keyword({...checkSteps, shape: tcpCheckConnect, description: 'Connects, first of all or anew.'}),
  'tcp-check send': keyword({...checkSteps, shape: tcpCheckSend, description: 'Sends a text.'}),
  'tcp-check send-binary': keyword({...checkSteps, shape: tcpCheckSendBinary, description: 'Sends bytes.'}),
  'tcp-check send-lf': keyword({...checkSteps, shape: tcpCheckSendFormat, description: 'Sends a text with expressions in it.'}),
  'tcp-check send-binary-lf': keyword({
    ...checkSteps,
    shape: tcpCheckSendBinaryFormat,
    description: 'Sends bytes, written in hexadecimal with expressions in it.',
  }),
  'tcp-check expect': keyword({...checkSteps, shape: tcpCheckExpect, description: 'Waits for what the server must say.'}),
  'tcp-check set-var': keyword({
    ...checkSteps,
    shape: setVariableStep,
    description: 'Sets a variable for later steps (`check.`, `sess.`) or for all (`proc.`).',
  }),
  'tcp-check set-var-fmt': keyword({...checkSteps, shape: setVariableFormatStep, description: 'The same with a text that has expressions in it.'}),
  'tcp-check unset-var': keyword({...checkSteps, shape: unsetVariableStep, description: 'Forgets a variable.'}),
  'tcp-check comment': keyword({...checkSteps, shape: textLine(), description: 'A text for people. No effect.'}),
} as const;
