/**
 * The commands of the documents, in their order, on a machine of their own: namespaces in which systemd is the first process, with a network in which
 * every port is free. docs/adopting.md has a test of its own.
 */
import {readFile, writeFile} from 'node:fs/promises';
import {basename, join, resolve} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {CommandError} from '../../src/core/command.ts';
import {blocksOf, type Machine, runDocument} from '../helpers/document.ts';
import {commandsInSentences, isComplete, readDocuments, top} from '../helpers/document-commands.ts';
import {archiveOf, layerOf, ociFiles, tarOf} from '../helpers/image-archives.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {bootSystemd, type Systemd} from '../helpers/systemd.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const timeoutMs = 60_000;
const tools = '/run/tools';

const documentsRun = ['README.md', 'docs/systemd.md', 'docs/operations.md', 'docs/troubleshooting.md'] as const;

/** Of blocks with `needs=`, and of commands in sentences: why they are not run here. */
const absent = {
  blocks: {
    workers: 'needs several hosts and S3; test/e2e/workers.test.ts',
    hours: 'takes longer than a test may, or is what runs this test',
    terminal: 'opens an editor',
    systemd: 'of docs/adopting.md',
    'no-systemd': 'of docs/adopting.md',
  },
  sentences: [
    [/^picogate (?:run|supervisor|edge|demo|run -f FILE|-f haproxy\.cfg)$/, 'goes on; blocks and units start it'],
    [/^picogate (?:app (?:add|rm) |image import )/, 'changes what others ask for; a block does it, and test/e2e/added-apps.test.ts'],
    [/^picogate (?:uninstall|cleanup)$/, 'for a machine on which no gateway runs; test/e2e/systemd.test.ts'],
    [/^picogate (?:workers forget|drain|undrain) /, 'needs several hosts and S3; test/e2e/workers.test.ts'],
    [/^picogate hibernate NAME --cold$/, 'needs S3; test/e2e/cold.test.ts'],
    [/^(?:npm|node|sh) /, 'set-up, packages, tests and benchmarks: npm start is in a block, test/cli/package.test.ts makes packages'],
    [/^apt(?:-get)? /, 'needs a mirror of Debian'],
    [/^systemctl edit /, 'opens an editor'],
    [/^systemctl stop$/, 'a block does it'],
    [/^journalctl /, 'no journal runs here'],
  ],
} as const satisfies {blocks: Record<string, string>; sentences: readonly (readonly [RegExp, string])[]};

/** What stands for an example in a sentence. */
const examples: readonly (readonly [RegExp, string])[] = [
  [/^picogate exec NAME -- COMMAND$/, 'picogate exec wiki --wake -- sh -c :'],
  [/^picogate top$/, 'picogate top --once'],
  [/^systemctl (status|reload)$/, 'systemctl $1 picogate'],
  [/^picogate image rm NAME$/, 'picogate image rm wiki --yes'],
  [/\bNAME\b/, 'wiki'],
  [/\bFILE\b/, '/etc/picogate/picogate.cfg'],
];

/** What `docker save` writes. */
async function saveImage(file: string): Promise<void> {
  const config = {Entrypoint: ['/usr/sbin/nginx'], Cmd: ['-g', 'daemon off;'], ExposedPorts: {'80/tcp': {}}};
  const layers = [
    await layerOf(await rootfsWith('nginx-light'), `${file}.layer`),
    tarOf([{name: 'etc/nginx/nginx.conf', content: await nginxConfiguration()}]),
  ];
  await writeFile(file, archiveOf(ociFiles([{layers: layers.map((tar) => ({tar, compression: 'none'})), config}])));
}

/** With the option for its own process left to the command line, as Debian does. */
async function nginxConfiguration(): Promise<string> {
  return (await readFile(join(top, 'test/fixtures/nginx.conf'), 'utf8')).replace('daemon off;\n', '');
}

/** A root file system, where the set-up's things are on the machine. */
async function installed(packageName: string): Promise<string> {
  return join(tools, 'rootfs', basename(await rootfsWith(packageName)));
}

/** What a document takes for granted. */
async function furnish(systemd: Systemd, image: string): Promise<void> {
  await systemd.write('/usr/local/bin/docker', `#!/bin/sh\n[ "$*" = 'save nginx' ] && exec cat ${image}\n`);
  await systemd.run(
    'bash',
    '-c',
    `set -eu
chmod +x /usr/local/bin/docker
ip address add 192.0.2.10/32 dev lo
mkdir -p /var/lib/picogate /run/backup /run/redis /run/directory
for directory in /srv /var/tmp /var/lib/picogate; do mount -t tmpfs tmpfs $directory; done
ln -s /run/clone/* /run/directory
mkdir -p /srv/images
cp -a ${await installed('nginx-light')} /srv/images/wiki
redis-server --daemonize yes --bind 127.0.0.1 192.0.2.10 --protected-mode no --dir /run/redis --save ''`,
  );
  await systemd.write(
    '/run/directory/haproxy.cfg',
    'defaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\nlisten l\n    bind :8082\n',
  );
  await systemd.write('/srv/images/wiki/etc/nginx/nginx.conf', await nginxConfiguration());
}

/** A gateway as docs/operations.md speaks of, with an app whose memory and files agree. */
async function operated(): Promise<string> {
  return `global
    state-dir /var/lib/picogate
    redis redis://192.0.2.10:6379
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout wake 20s
app wiki
    rootfs ${await installed('python3')}
    exec /usr/bin/python3 /srv/durable-server.py 80 1
    volume /run/clone/test/fixtures:/srv:ro
    expose tcp 80
listen wiki
    bind 127.0.0.1:8081
    server s app:wiki:80
`;
}

async function runSentences(t: ExecutionContext, machine: Machine): Promise<number> {
  const all = readDocuments().flatMap(({name, text}) => (name === 'docs/decisions.md' ? [] : commandsInSentences(text)));
  const shown = [...new Set(all)].filter((command) => !command.startsWith('picogate ') || isComplete(command.slice('picogate '.length)));
  const here = shown.filter((command) => !absent.sentences.some(([pattern]) => pattern.test(command)));
  t.deepEqual(
    absent.sentences.filter(([pattern]) => !shown.some((command) => pattern.test(command))),
    [],
    'what is not run is there',
  );
  const failed: string[] = [];
  for (const command of here) {
    const example = examples.reduce((text, [pattern, stands]) => text.replace(pattern, stands), command);
    await machine
      .shell(example, {timeoutMs})
      .catch((error: unknown) => failed.push(`${example}: ${error instanceof CommandError ? error.stderr : String(error)}`));
  }
  t.deepEqual(failed, []);
  return here.length;
}

test('what is not run of the documents is known', (t) => {
  const blocks = readDocuments().flatMap(({name, text}) => blocksOf(text).map(({language, attributes}) => ({name, language, needs: attributes.get('needs')})));
  const needed = [...new Set(blocks.flatMap(({needs}) => needs ?? []))];
  t.deepEqual(needed.toSorted(), Object.keys(absent.blocks).toSorted());
  const run = blocks.filter(({language, needs}) => needs === undefined && (language === 'sh' || language === 'console'));
  t.deepEqual([...new Set(run.map(({name}) => name))].toSorted(), [...documentsRun, 'docs/adopting.md'].toSorted());
  const indented = readDocuments().filter(({text}) => /^ {4,}(?:(?:bin\/)?picogate|systemctl|npm|node|sh) /m.test(text));
  t.deepEqual(
    indented.map(({name}) => name),
    ['docs/performance.md'],
    'benchmarks take hours',
  );
});

rootTest('the commands of the documents do what they say', async (t) => {
  t.timeout(240_000);
  await using directory = await temporaryDirectory();
  const image = join(directory.path, 'nginx.tar');
  const [systemd] = await Promise.all([bootSystemd(t, {network: 'its own'}), saveImage(image)]);
  const machineWith = (...variables: readonly string[]): Machine => ({
    shell: (script) =>
      systemd.run(
        'env',
        '-C',
        '/run/directory',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/clone/bin',
        ...variables,
        'bash',
        '-c',
        script,
      ),
    write: (path, content) => systemd.write(resolve('/run/directory', path), content),
  });
  const machine = machineWith(`PICOGATE_TOOLS=${tools}`);
  await furnish(systemd, image);
  t.teardown(async () => {
    if (!t.passed) t.log(await systemd.run('tail', '-c', '4000', '/run/said'));
    await systemd.run('/run/clone/bin/picogate', 'cleanup').catch(() => undefined);
  });
  const replace = {'/backup/': '/run/backup/'};
  const runOn = (on: Machine, name: (typeof documentsRun)[number]): Promise<number> => runDocument(t, name, {machine: on, replace, timeoutMs});
  t.is(await runOn(machineWith(`PICOGATE_TOOLS=${tools}`, 'PICOGATE_CONFIG=/run/directory/picogate.cfg'), 'README.md'), 5);
  await machine.shell('find /var/lib/picogate -mindepth 1 -delete', {timeoutMs});
  t.is(await runOn(machine, 'docs/systemd.md'), 6);
  await machine.shell('systemctl disable --now picogate.target picogate-edge.socket', {timeoutMs});
  await machine.write('/etc/picogate/picogate.cfg', await operated());
  await machine.shell('systemctl start picogate && curl -fs http://127.0.0.1:8081/count', {timeoutMs});
  t.is(await runOn(machine, 'docs/operations.md'), 3);
  t.is(await machine.shell('curl -fs http://127.0.0.1:8081/agree', {timeoutMs}), '1 1');
  t.is(await runOn(machine, 'docs/troubleshooting.md'), 2);
  await machine.shell('picogate image import wiki /run/clone/config', {timeoutMs});
  t.true((await runSentences(t, machine)) > 30);
});
