import test from 'ava';
import {readRedisUrl, redactRedisUrl} from '../../src/core/redis-url.ts';

const open = {tls: false, username: null, password: null};
const hosts = [
  {host: 'one', port: 1},
  {host: '::1', port: 26_379},
];

for (const [url, address] of [
  ['unix:/run/redis.sock', {kind: 'unix', path: '/run/redis.sock'}],
  ['redis://h', {kind: 'tcp', host: 'h', port: 6379, database: 0, ...open}],
  ['rediss://u:p%40s@[::1]:1/3', {kind: 'tcp', host: '::1', port: 1, database: 3, tls: true, username: 'u', password: 'p@s'}],
  ['sentinel:one:1,[::1]/main', {kind: 'sentinel', sentinels: hosts, master: 'main', database: 0, ...open, sentinelUsername: null, sentinelPassword: null}],
  [
    'sentinel+tls://:p%40s@one:1,[::1]/main/2?sentinel-user=s&sentinel-password=q%26r',
    {
      kind: 'sentinel',
      sentinels: hosts,
      master: 'main',
      database: 2,
      tls: true,
      username: null,
      password: 'p@s',
      sentinelUsername: 's',
      sentinelPassword: 'q&r',
    },
  ],
  [
    'cluster:a,b:7001',
    {
      kind: 'cluster',
      nodes: [
        {host: 'a', port: 6379},
        {host: 'b', port: 7001},
      ],
      ...open,
    },
  ],
  ['cluster+tls:u:%zz@a/', {kind: 'cluster', nodes: [{host: 'a', port: 6379}], tls: true, username: 'u', password: '%zz'}],
] as const) {
  test(`readRedisUrl() reads ${url}`, (t) => {
    t.deepEqual<unknown, unknown>(readRedisUrl(url), address);
  });
}

for (const [url, reason] of [
  ['unix:redis.sock', /must begin with/],
  ['http://h', /is expected/],
  ['redis://h/x', /"x" is not the number of a database/],
  ['sentinel:one,two', /sentinel:HOST/],
  ['sentinel:/main', /sentinel:HOST/],
  ['sentinel:one/main/2/3', /sentinel:HOST/],
  ['sentinel:one/main/x', /not the number of a database/],
  ['sentinel:one/main?password=x', /only sentinel-user and sentinel-password/],
  ['cluster:', /cluster:HOST/],
  ['cluster:a,,b', /cluster:HOST/],
  ['cluster:a/1', /database 0 only/],
  ['cluster:a?x=y', /nothing may follow/],
] as const) {
  test(`readRedisUrl() refuses ${url}`, (t) => {
    const found = readRedisUrl(url);
    t.is(found.kind, 'invalid');
    t.regex(found.kind === 'invalid' ? found.reason : '', reason);
  });
}

test('redactRedisUrl() leaves no password', (t) => {
  for (const url of [
    'redis://u:secret@h/1',
    'rediss://:secret@h',
    'sentinel:u:secret@one:1,two/m?sentinel-user=x&sentinel-password=secret',
    'cluster+tls://:secret@a:1',
  ]) {
    t.false(redactRedisUrl(url).includes('secret'), redactRedisUrl(url));
  }
  for (const url of ['unix:/run/redis.sock', 'redis://h:1/2', 'sentinel:one:1,two:2/main', 'cluster:a:1,b:2']) t.is(redactRedisUrl(url), url);
});
