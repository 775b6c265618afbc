/** Mode http beside HAProxy and http-proxy. */
import type {EdgePart} from './edge-bench.ts';
import {startHaproxy, startHttpProxy, startOrigin, startPicogate} from './programs.ts';
import {measureRates, type RateKind, rateGoals, rateTable} from './rates.ts';

const requests: RateKind = {mode: 'http', title: 'mode http, requests', keepAlive: true};

export const webPart: EdgePart = {
  name: 'http',
  summary: 'requests on connections that stay open',
  async run(bench) {
    const {directory} = bench;
    await using origin = await startOrigin(directory);
    const where = {directory, originPort: origin.port};
    await using ours = await startPicogate(where);
    await using haproxy = await startHaproxy(where);
    await using httpProxy = await startHttpProxy(where);
    await measureRates(bench, [ours, haproxy, httpProxy], [requests]);
  },
  report: (samples) => ({
    table: rateTable('HTTP: wrk, 32 connections', samples, {proxies: ['Picogate', 'HAProxy', 'http-proxy'], kinds: [requests]}),
    goals: rateGoals(samples, 'Picogate', [
      {kind: requests, peer: 'http-proxy', atLeast: 2},
      {kind: requests, peer: 'HAProxy', atLeast: 0.4},
    ]),
  }),
};
