import test from 'ava';
import {type AppOptions, appSections, quoted} from '../../src/cli/app-section.ts';
import {combineSources} from '../../src/config/added-sources.ts';
import {checkFiles} from '../../src/config/load.ts';

const none: AppOptions = {expose: [], publish: [], env: [], volume: [], set: []};

test('appSections() writes what the configuration reads as it was given', (t) => {
  const odd = `it's "$HOME" \\ # x`;
  const text = appSections('wiki', {
    ...none,
    image: 'debian:12',
    exec: '/bin/sh -c "a b"',
    expose: ['tcp:80', '53/udp', '443'],
    publish: ['8080:80', '127.0.0.1:8443:443', '5353:53/udp'],
    memory: '256m',
    hibernateAfter: '5m',
    env: [`ODD=${odd}`, 'EMPTY='],
    volume: ['/srv/data:/data:ro'],
    set: ['wake-at "0 6 * * *"'],
  });
  const {config, diagnostics} = checkFiles(
    [{path: 'added', text: `defaults\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n${text}`}],
    {},
  );
  t.deepEqual(diagnostics, []);
  t.like(config?.apps[0], {
    name: 'wiki',
    root: {kind: 'image', name: 'debian:12'},
    exec: ['/bin/sh', '-c', 'a b'],
    memoryBytes: 256 * 1024 * 1024,
    hibernateAfterMs: 300_000,
    env: {ODD: odd, EMPTY: ''},
    wakeAt: ['0 6 * * *'],
  });
  t.deepEqual(config?.apps[0]?.expose, [
    {protocol: 'tcp', port: 80},
    {protocol: 'udp', port: 53},
    {protocol: 'tcp', port: 443},
  ]);
  t.deepEqual(
    config?.frontends.map(({name, mode, binds}) => [name, mode, binds.map(({protocol, host, port}) => `${protocol} ${host} ${port}`).join()]),
    [
      ['wiki-8080', 'tcp', 'tcp  8080'],
      ['wiki-8443', 'tcp', 'tcp 127.0.0.1 8443'],
      ['wiki-udp-5353', 'udp', 'udp  5353'],
    ],
  );
  t.throws(() => appSections('wiki', {...none, set: ['pin\nfrontend x']}), {code: 'ERR_BAD_ARGUMENT', message: /more than one line/});
  t.throws(() => appSections('wiki', {...none, publish: ['http']}), {message: /"http" is not to be published/});
  t.is(quoted(''), "''");
});

test('combineSources() leaves out what does not fit, and lets the file win', async (t) => {
  const app = (name: string, more = ''): string => `app ${name}\n    rootfs /\n    exec x\n    expose tcp 80\n${more}`;
  const listen = (name: string, port: number): string => `listen ${name}\n    mode tcp\n    bind :${port}\n    server s app:${name}:80\n`;
  const file = {
    path: 'picogate.cfg',
    text: `defaults\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n    hibernate-after 7s\n${app('one')}`,
  };
  const added = [
    {name: 'one', text: app('one', '    pin\n')},
    {name: 'two', text: `${app('two')}${listen('two', 8080)}`},
    {name: 'three', text: app('three', '    memroy 1m\n')},
    {name: 'four', text: `${app('four')}listen two\n    bind :8081\n    server s app:four:80\n`},
  ];
  const combined = await combineSources([file], added, {env: {}});
  t.deepEqual(
    combined.config?.apps.map(({name, pin, hibernateAfterMs}) => [name, pin, hibernateAfterMs]),
    [
      ['one', false, 7000],
      ['two', false, 7000],
    ],
  );
  t.deepEqual([...combined.inFiles], ['one']);
  t.like(
    [...combined.refused].map(([name, [first]]) => ({name, message: first?.message, line: first?.position.line})),
    [
      {name: 'three', message: "unknown keyword 'memroy' in 'app' section; did you mean 'memory' maybe ?", line: 5},
      {name: 'four', line: 5},
    ],
  );
});
