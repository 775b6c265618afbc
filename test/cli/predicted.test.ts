import {fileURLToPath} from 'node:url';
import test from 'ava';
import {addressPicture} from '../../src/cli/address-picture.ts';
import {describePrediction} from '../../src/cli/predicted.ts';
import {newcomer, PageLikelihoods} from '../../src/pager/prediction/page-likelihoods.ts';
import {emptyModel} from '../../src/pager/prediction/predicted-model.ts';
import {type PredictedReport, reportOf} from '../../src/pager/prediction/predicted-report.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const block = 128 * 1024;

test('a picture has a character for each block, and a new row after a gap', (t) => {
  const start = 0x7f0000000000;
  const blocks = [0, 1, 2, 3, 6, 200].map((at, index) => [start + at * block, [1, 9, 17, 32, 8, 32][index] ?? 0] as const);
  t.deepEqual(addressPicture({blockBytes: block, blocks}, {colours: false}), ['7f0000000000-7f00000e0000  ░▒▓█··░', '7f0001900000-7f0001920000  █']);
  t.regex(addressPicture({blockBytes: block, blocks}, {colours: true})[0] ?? '', /\[33m█/);
});

test('a row has at most 64 blocks', (t) => {
  const blocks = Array.from({length: 70}, (_, at) => [at * block, 32] as const);
  t.deepEqual(
    addressPicture({blockBytes: block, blocks}, {colours: false}).map((line) => line.split('  ').at(-1)?.length),
    [64, 6],
  );
});

test('what is known of an app is described, and one that was never woken says so', (t) => {
  const options = {trigger: undefined, colours: false, width: 100};
  const model = emptyModel();
  t.regex(describePrediction(reportOf(model), options), /^nothing is known yet/);
  model.wakes = 2;
  const pages = new PageLikelihoods();
  for (let page = 0; page < 40; page += 1) pages.set(0x1000 + page, newcomer(0.9));
  model.levels.get('')?.pages.set(1, pages);
  const text = describePrediction(reportOf(model), options);
  t.regex(text, /any +0 +40 /);
  t.regex(text, /process 1, 40 pages\n +1000000-1040000 +█░\n/);
  t.throws(() => describePrediction(reportOf(model), {...options, trigger: 'tcp/9'}), {message: /^Cannot show trigger "tcp\/9"/});
});

rootTest('an app that is woken through two ports has two predicted sets, and picogate predicted shows them', async (t) => {
  t.timeout(120_000);
  const [web, other] = [await freePort(), await freePort()];
  const gateway = await testGateway(
    t,
    `app two
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/two-ports-server.py
    volume ${here}:/srv:ro
    expose tcp 80 81
    hibernate-after 1h
listen web
    bind 127.0.0.1:${web}
    server s app:two:80
listen other
    bind 127.0.0.1:${other}
    server s app:two:81`,
  );
  await gateway.start();
  await ask(web, 'go');
  await gateway.hibernate('two');
  const unpredicted = [];
  for (let wake = 0; wake < 12; wake += 1) {
    await ask(wake % 2 === 0 ? web : other, 'go');
    const {paging} = JSON.parse(await gateway.cli('show', 'two', '--json')) as {paging: {faults: number; brought: number}};
    // What is read in a row is brought along with faults.
    unpredicted.push(paging.faults + paging.brought);
    await gateway.hibernate('two');
  }
  const report = JSON.parse(await gateway.cli('predicted', 'two', '--json')) as PredictedReport;
  const setOf = (trigger: string | null): ReadonlyMap<string, number> =>
    new Map(report.triggers.find((found) => found.trigger === trigger)?.processes.flatMap(({blocks}) => blocks));
  const full = (trigger: string | null): ReadonlySet<string> => new Set([...setOf(trigger)].filter(([, pages]) => pages === 32).map(([address]) => address));
  t.is(report.wakes, 12);
  // 2 MiB are 16 blocks, or 15 and two halves.
  t.true(full('tcp/80').difference(full('tcp/81')).size >= 12, 'what only port 80 touches');
  t.true(full('tcp/81').difference(full('tcp/80')).size >= 12, 'what only port 81 touches');
  t.log(`pages of each wake that were not predicted: ${unpredicted.join(' ')}`);
  t.true((unpredicted[0] ?? 0) > 500, 'nothing was predicted at first');
  t.true((unpredicted[10] ?? Number.POSITIVE_INFINITY) < 250, 'most is predicted in the end');
  t.regex(await gateway.cli('predicted', 'two'), /any +12 [\s\S]*tcp\/80 +6 [\s\S]*process 1, /);
  t.regex(await gateway.cli('predicted', 'two', '--trigger', 'tcp/81'), /process 1, /);
  await t.throwsAsync(gateway.cli('predicted', 'three'), {message: /three/});
});
