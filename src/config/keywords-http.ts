/** The keywords of proxies in mode http, of logs of requests, and of the statistics page. */

import {format} from './format-shapes.ts';
import {
  captureCookie,
  captureHeader,
  compressionAlgorithms,
  contentTypes,
  declareCapture,
  errorFile,
  errorFiles,
  errorLocation,
  httpError,
} from './http-shapes.ts';
import {keyword, proxies, theirList, theirs, withFrontend, withProxies} from './keyword.ts';
import {flagLine, integer, placedWord, textLine, word} from './shapes.ts';
import {requiredCondition, statsAuth, statsRefresh, statsRule} from './stats-shapes.ts';

const inFrontend = {...theirs, sections: withFrontend} as const;
const stats = {...theirList, sections: withProxies} as const;
const errors = {...theirList, sections: [...withProxies, 'http-errors']} as const;
const bodySize = integer({min: 0, max: 2 ** 31 - 1});

export const httpKeywords = {
  'log-format': keyword({...inFrontend, shape: format('log'), description: 'What a log line says, with the variables below and `%[sample]`.'}),
  'error-log-format': keyword({
    ...inFrontend,
    shape: format('log'),
    description: 'The same for connections whose PROXY header or TLS handshake fails, and for requests that cannot be read.',
  }),
  'log-format-sd': keyword({
    ...inFrontend,
    shape: format('log'),
    description: 'The structured data of these lines, for targets with `format rfc5424`; `%{+E}` escapes what would end a value. Default lines have none.',
  }),
  'unique-id-format': keyword({...inFrontend, shape: format('value'), description: 'A name for each request, for `unique-id-header` and `%ID`.'}),
  'unique-id-header': keyword({...inFrontend, shape: word('<name>'), description: 'The header that tells the server that name.'}),
  'capture request': keyword({
    ...theirList,
    sections: ['frontend', 'listen'],
    shape: captureHeader('request'),
    description: 'A header of requests for log lines.',
  }),
  'capture response': keyword({
    ...theirList,
    sections: ['frontend', 'listen'],
    shape: captureHeader('response'),
    description: 'A header of answers for log lines.',
  }),
  'capture cookie': keyword({
    ...theirs,
    sections: ['frontend', 'listen'],
    shape: captureCookie,
    description: 'The first cookie of requests (`%CC`) and of answers (`%CS`) that begins so, with its name; `name=` is one whose whole name this is.',
  }),
  'declare capture': keyword({
    ...theirList,
    sections: ['frontend', 'listen'],
    shape: declareCapture,
    description: 'A slot that `capture ... id` of rules fills.',
  }),
  'monitor-uri': keyword({...inFrontend, shape: word('<uri>'), description: 'A path that is answered here with 200, for those who watch this gateway.'}),
  'monitor fail': keyword({...theirList, sections: ['frontend', 'listen'], shape: requiredCondition, description: 'When `monitor-uri` answers 503 instead.'}),
  errorfile: keyword({...errors, shape: errorFile, description: 'A file with a whole answer, head and body, instead of the built-in page for a status.'}),
  errorfiles: keyword({...theirList, sections: withProxies, shape: errorFiles, description: 'The pages of a section `http-errors`.'}),
  errorloc: keyword({...errors, sections: withProxies, shape: errorLocation, description: 'The same as `errorloc302`.'}),
  errorloc302: keyword({...errors, sections: withProxies, shape: errorLocation, description: 'Where clients are sent instead of an error page.'}),
  errorloc303: keyword({...errors, sections: withProxies, shape: errorLocation, description: 'The same with status 303, so that they ask with GET.'}),
  'http-error': keyword({...theirList, sections: withProxies, shape: httpError, description: 'An answer instead of the built-in page for a status.'}),
  'compression algo': keyword({
    ...theirs,
    sections: withProxies,
    shape: compressionAlgorithms,
    description: 'How answers are compressed for clients that accept it.',
  }),
  'compression type': keyword({...theirList, sections: withProxies, shape: contentTypes, absent: 'all', description: 'Which types of content are.'}),
  'compression offload': keyword({...theirList, sections: withProxies, shape: flagLine(), description: 'Servers are not asked to compress.'}),
  'compression minsize-req': keyword({
    ...theirList,
    sections: withProxies,
    shape: bodySize,
    description: 'Accepted. No effect: requests are not compressed.',
  }),
  'compression minsize-res': keyword({
    ...theirs,
    sections: withProxies,
    shape: bodySize,
    absent: '0',
    description: 'Answers whose length is known and smaller stay as they are.',
  }),
  'filter compression': keyword({...theirList, sections: proxies, shape: flagLine(), description: 'Where compression happens among other filters. No effect.'}),
  'stats enable': keyword({...stats, shape: flagLine(), description: 'A page of statistics: the dashboard. See "The dashboard" above.'}),
  'stats uri': keyword({...stats, shape: word('<uri>'), absent: '/haproxy?stats', description: 'With what the path of that page begins.'}),
  'stats realm': keyword({...stats, shape: textLine(), description: 'What browsers ask a password for.'}),
  'stats auth': keyword({...stats, shape: statsAuth, description: 'Who may see it.'}),
  'stats http-request': keyword({
    ...stats,
    sections: proxies,
    shape: statsRule,
    description: 'Who may see it: the first line that holds decides. Not together with `stats auth` and `stats realm`.',
  }),
  'stats refresh': keyword({...stats, shape: statsRefresh, description: "HAProxy's page loads itself again; the dashboard follows by itself."}),
  'stats hide-version': keyword({...stats, shape: flagLine(), description: 'The page does not tell the version.'}),
  'stats show-node': keyword({...stats, shape: textLine({optional: true}), description: 'The page tells the name of this host.'}),
  'stats show-desc': keyword({...stats, shape: textLine({optional: true}), description: 'The page tells a text.'}),
  'stats show-legends': keyword({...stats, shape: flagLine(), description: 'The page tells more about each proxy.'}),
  'stats show-modules': keyword({...stats, shape: flagLine(), description: 'Accepted. No effect.'}),
  'stats admin': keyword({
    ...stats,
    sections: proxies,
    shape: requiredCondition,
    description: 'Who may wake, hibernate and pin apps there, and change the state of servers.',
  }),
  'stats scope': keyword({...stats, shape: placedWord('<proxy> | .'), absent: 'all', description: 'Which proxies the page shows.'}),
} as const;
