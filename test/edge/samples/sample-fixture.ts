/** A compiler and contexts for tests. */
import {readFileSync} from 'node:fs';
import {bareFrontend} from '../../../src/config/proxy-defaults.ts';
import {createSampleCompiler, type SampleCompiler} from '../../../src/edge/samples/compile.ts';
import type {RequestFacts, SampleContext, SampleValue, Surroundings} from '../../../src/edge/samples/context.ts';
import type {ClientHelloResult, SampleEnvironment} from '../../../src/edge/samples/fetch.ts';
import {createPatternLists} from '../../../src/edge/samples/pattern-lists.ts';
import {parseRequestHead} from '../../../src/edge/samples/payload-request.ts';
import {createProcessVariables, createVariables} from '../../../src/edge/samples/variables.ts';
import {expression} from './sample-text.ts';

export function environment(parseClientHello: (payload: Uint8Array) => ClientHelloResult = () => ({kind: 'none'})): SampleEnvironment {
  return {lists: createPatternLists(), readFile: (path) => readFileSync(path, 'utf8'), parseClientHello};
}

export const compiler: SampleCompiler = createSampleCompiler(environment());

export const emptySurroundings: Surroundings = {
  usableServers: () => null,
  isServerUp: () => null,
  backendLoad: () => null,
  serverLoad: () => null,
  frontendLoad: () => null,
  authenticate: () => null,
  tableValue: () => null,
  tableSize: () => null,
  trackedValue: () => null,
  tagTracked: () => false,
};

export function contextOf(parts: Partial<SampleContext> = {}): SampleContext {
  return {
    connection: {
      protocol: 'tcp',
      frontend: {...bareFrontend({name: 'fe', position: {file: 'test.cfg', line: 1, column: 1}}), mode: 'http'},
      source: {host: '192.0.2.1', port: 4000},
      destination: {host: '198.51.100.2', port: 80},
      receivedProxy: true,
      tls: null,
      acceptedAtMs: 1_795_900_000_123,
      id: 1,
    },
    payload: new Uint8Array(0),
    inspectionEnded: true,
    request: null,
    response: null,
    variables: createVariables(createProcessVariables()),
    captures: [],
    surroundings: emptySurroundings,
    ...parts,
  };
}

/** A request from its bytes. */
export function requestFacts(text: string): RequestFacts {
  const head = parseRequestHead(Buffer.from(text, 'latin1'));
  if (head.kind !== 'complete') throw new Error(`not a request: ${text}`);
  return head.request;
}

export function evaluate(text: string, context: SampleContext = contextOf()): SampleValue {
  return compiler.compileExpression(expression(text))(context);
}
