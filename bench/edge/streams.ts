/** Mode tcp beside HAProxy. */
import type {EdgePart} from './edge-bench.ts';
import {startHaproxy, startOrigin, startPicogate} from './programs.ts';
import {measureRates, type RateKind, rateGoals, rateTable} from './rates.ts';

const requests: RateKind = {mode: 'tcp', title: 'mode tcp, requests', keepAlive: true};
const newConnections: RateKind = {mode: 'tcp', title: 'mode tcp, new connections', keepAlive: false};
const kinds = [requests, newConnections];

export const streamsPart: EdgePart = {
  name: 'tcp',
  summary: 'requests on connections that stay open, and new connections',
  async run(bench) {
    const {directory} = bench;
    await using origin = await startOrigin(directory);
    const where = {directory, originPort: origin.port};
    await using ours = await startPicogate(where);
    await using haproxy = await startHaproxy(where);
    await measureRates(bench, [ours, haproxy], kinds);
  },
  report: (samples) => ({
    table: rateTable('Streams: wrk, 32 connections', samples, {proxies: ['Picogate', 'HAProxy'], kinds}),
    goals: rateGoals(samples, 'Picogate', [
      {kind: requests, peer: 'HAProxy', atLeast: 0.8},
      {kind: newConnections, peer: 'HAProxy', atLeast: 0.5},
    ]),
  }),
};
