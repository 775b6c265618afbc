/** `tcp-check connect` and `http-check connect`: a connection of a health check, first of all or anew. */
import {isIP} from 'node:net';
import {type Arguments, ConfigError} from './arguments.ts';
import {readExpressionWord} from './expression/sample-expression.ts';
import type {ConnectStep} from './health.ts';
import type {Word} from './lex.ts';
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {takeProtocols} from './tls-options.ts';
import {parsePort} from './units.ts';

type Draft = {-readonly [Key in keyof ConnectStep]: ConnectStep[Key]};

const options: Readonly<Record<string, (step: Draft, args: Arguments) => void>> = {
  default(step) {
    step.usesDefaults = true;
  },
  addr(step, args) {
    const {host, port} = takeAddress(args);
    step.address = host;
    step.port ??= port;
  },
  port(step, args) {
    const word = args.peek();
    const isNumber = word === undefined || /^\d+$/.test(word.text);
    if (isNumber) step.port = args.takeParsed('<port>', parsePort);
    step.portExpression = isNumber ? null : readExpressionWord(args.take('<sample>'), args.scope).expression;
  },
  ssl(step) {
    step.tls = true;
  },
  sni(step, args) {
    step.sni = args.take('<name>').text;
  },
  alpn(step, args) {
    step.alpn = takeProtocols(args);
  },
  'send-proxy'(step) {
    step.sendProxy = true;
  },
  linger(step) {
    step.lingers = true;
  },
  comment(_step, args) {
    args.take('<text>');
  },
};

/** @param protocols what `proto` may say; checks over HTTP speak HTTP/1 */
function connectShape(protocols: {readonly spoken: string; readonly later: readonly string[]}): Shape<ConnectStep> {
  return {
    usage: `[default] [addr <address>[:<port>]] [port <port> | <sample>] [ssl] [sni <name>] [alpn <protocols>] [send-proxy] [proto ${protocols.spoken}] [linger] [comment <text>]`,
    read(args) {
      const step: Draft = {
        kind: 'connect',
        address: null,
        port: null,
        portExpression: null,
        usesDefaults: false,
        tls: false,
        sni: null,
        alpn: null,
        sendProxy: false,
        lingers: false,
      };
      while (!args.atEnd) {
        const word = args.take('<option>');
        const apply = Object.hasOwn(options, word.text) ? options[word.text] : undefined;
        if (apply !== undefined) apply(step, args);
        else if (word.text === 'proto') takeProto(args, protocols);
        else if (word.text === 'via-socks4') throw notImplemented(word, `'${word.text}' of '${args.keyword}'`);
        else {
          const names = [...Object.keys(options), 'proto'];
          throw args.invalid(word, `${names.join(', ')} are possible${didYouMean(word.text, names)}`);
        }
      }
      return step;
    },
  };
}

export const tcpCheckConnect = connectShape({spoken: 'none', later: []});
export const httpCheckConnect = connectShape({spoken: 'h1', later: ['h2', 'fcgi']});

function takeProto(args: Arguments, {spoken, later}: {readonly spoken: string; readonly later: readonly string[]}): void {
  const word = args.take(spoken);
  if (later.includes(word.text)) throw notImplemented(word, `'proto ${word.text}' of '${args.keyword}'`);
  if (word.text !== spoken) throw args.invalid(word, `${spoken} is possible`);
}

function notImplemented({position, text}: Word, what: string): ConfigError {
  return new ConfigError(`${what} is not implemented yet`, position, text);
}

/** `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `name:80` */
function takeAddress(args: Arguments): {readonly host: string; readonly port: number | null} {
  const word = args.take('<address>');
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:\s]+))(?::(\d+))?$/.exec(word.text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || (bracketed !== undefined && isIP(bracketed) !== 6)) throw args.invalid(word, 'an address is expected');
  if (portText === undefined) return {host, port: null};
  const port = parsePort(portText);
  if (!port.ok) throw args.invalid(word, port.reason);
  return {host, port: port.value};
}
