/** What a program is loaded with, and the figures that come of it. */
import {assert} from '../../src/core/errors.ts';
import {type Address, download, type WrkResult, wrk} from './load.ts';
import {files} from './programs.ts';
import type {EchoServer} from './websocket-load.ts';

export interface LoadFigure {
  /** Of a sample's values. */
  readonly value: string;
  /** After the kind's title: `requests, 32 connections: p99, µs`. */
  readonly title: string;
}

export interface LoadKind {
  readonly title: string;
  readonly figures: readonly LoadFigure[];
  /** The figure by which programs are compared; the more the better. */
  readonly value: string;
  /** @returns how much was done, for the processor time of each, and the values of the figures */
  measure(address: Address, options: LoadOptions): Promise<LoadResult>;
}

export interface LoadOptions {
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Behind what is measured, if it is WebSockets. */
  readonly echo: EchoServer | null;
}

export interface LoadResult {
  readonly count: number;
  readonly values: Readonly<Record<string, number>>;
}

/** Of each request, connection or MiB, from outside: what the program itself has used of a core. */
export const processorFigure: LoadFigure = {value: 'processorMicros', title: 'its processor time, µs'};

/** Clients at a time. */
export const connectionCounts = [1, 32, 256] as const;
/** For all but requests and messages. */
const usualConnections = 32;
const transferConnections = 4;

const rateFigures: readonly LoadFigure[] = [
  {value: 'perSecond', title: 'per second'},
  {value: 'p50Micros', title: 'p50, µs'},
  {value: 'p99Micros', title: 'p99, µs'},
  processorFigure,
];
const transferFigures: readonly LoadFigure[] = [{value: 'mebibytesPerSecond', title: 'MiB/s'}, processorFigure];

function countOf(connections: number): string {
  return connections === 1 ? '1 connection' : `${connections} connections`;
}

function ofRate({count, perSecond, p50Micros, p99Micros}: WrkResult): LoadResult {
  return {count, values: {perSecond, p50Micros, p99Micros}};
}

/** On connections that stay open, one request at a time on each. */
export function requests(connections: number): LoadKind {
  return {
    title: `requests, ${countOf(connections)}`,
    figures: rateFigures,
    value: 'perSecond',
    measure: async (address, options) => ofRate(await wrk(address, {...options, connections, keepAlive: true, path: '/'})),
  };
}

/** Each for one request. */
export const newConnections: LoadKind = {
  title: `new connections, ${usualConnections} at a time`,
  figures: rateFigures,
  value: 'perSecond',
  measure: async (address, options) => ofRate(await wrk(address, {...options, connections: usualConnections, keepAlive: false, path: '/'})),
};

/** Answers of 1 MiB, one after the other on some connections. */
export const smallTransfers: LoadKind = {
  title: `answers of 1 MiB, ${transferConnections} connections`,
  figures: transferFigures,
  value: 'mebibytesPerSecond',
  async measure(address, {seconds, signal}) {
    const {path} = files['1 MiB'];
    const {count, perSecond} = await wrk(address, {seconds, signal, connections: transferConnections, keepAlive: true, path});
    return {count, values: {mebibytesPerSecond: perSecond}};
  },
};

/** One answer of 1 GiB. */
export const largeTransfer: LoadKind = {
  title: 'one answer of 1 GiB',
  figures: transferFigures,
  value: 'mebibytesPerSecond',
  async measure(address, {signal}) {
    const {path, bytes} = files['1 GiB'];
    const perSecond = await download(address, {path, bytes, signal});
    return {count: bytes / 2 ** 20, values: {mebibytesPerSecond: perSecond / 2 ** 20}};
  },
};

/** Of a WebSocket, each with its echo. */
export function messages(connections: number): LoadKind {
  return {
    title: `messages, ${countOf(connections)}`,
    figures: rateFigures,
    value: 'perSecond',
    async measure({port}, {seconds, echo}) {
      assert(echo !== null, 'Messages have an echo');
      return ofRate(echo.measure({port, connections, seconds}));
    },
  };
}
