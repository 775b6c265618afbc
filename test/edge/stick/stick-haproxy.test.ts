/** What sessions do is counted as HAProxy counts it, whichever rules track them. */
import test from 'ava';
import type {StickTableConfig} from '../../../src/config/proxy-value.ts';
import {StickTable} from '../../../src/edge/stick/stick-table.ts';
import {Tracking} from '../../../src/edge/stick/tracking.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {FakeClock} from '../pool/fake-clock.ts';
import {startHaproxy} from '../pool/haproxy-reference.ts';
import {tableCommand} from './table-command.ts';

const stores = 'gpc0,sess_cnt,sess_rate(60s),conn_cnt,conn_cur,conn_rate(60s),http_req_cnt,http_req_rate(60s)';
const config: StickTableConfig = {
  type: 'ip',
  keyBytes: 0,
  size: 100,
  expireMs: 60_000,
  noPurge: false,
  stores: stores.split(',').map((store) => {
    const [what = '', period] = store.split('(');
    return {what, periodMs: period === undefined ? null : 60_000};
  }),
};

const sources = ['192.0.2.1', '192.0.2.2', '192.0.2.1', '192.0.2.1'];

/** Without what differs: where an entry is, and when it expires. */
function comparable(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line !== '')
    .map((line) => line.replace(/^0x[0-9a-f]+: /, '').replace(/ exp=\d+/, ''))
    .sort();
}

test('conn, sess and http counters, tracked at the connection or at the request', async (t) => {
  await using directory = await temporaryDirectory();
  const section = (name: string, rule: string): string =>
    [
      `frontend ${name}`,
      '  mode http',
      `  bind unix@${directory.path}/${name}.sock accept-proxy`,
      `  stick-table type ip size 100 expire 60s store ${stores}`,
      `  ${rule} track-sc0 src`,
      '  http-request return status 200',
    ].join('\n');
  await using haproxy = await startHaproxy(directory.path, [section('connection', 'tcp-request session'), section('request', 'http-request')].join('\n'));
  for (const way of ['connection', 'request'] as const) {
    const clock = new FakeClock();
    using table = new StickTable({name: way, config, clock, forPersistence: false});
    for (const source of sources) {
      await haproxy.exchange(`${way}.sock`, `PROXY TCP4 ${source} 192.0.2.9 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      using tracking = new Tracking();
      if (way === 'connection') {
        tracking.track(0, {table, key: source, of: way});
        tracking.sessionAccepted();
        tracking.httpRequest();
      } else {
        tracking.sessionAccepted();
        tracking.httpRequest();
        tracking.track(0, {table, key: source, of: way});
      }
    }
    const theirs = async (): Promise<string> => haproxy.command(`show table ${way}`);
    await until(async () => !(await theirs()).includes('use=1'), {what: 'the end of all sessions'});
    t.deepEqual(comparable(await tableCommand(table, clock, {verb: 'show'})), comparable((await theirs()).split('\n')), way);
  }
});
