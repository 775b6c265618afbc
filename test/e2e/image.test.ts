/** Apps whose root is an image of the store. */
import {readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {archiveOf, layerOf, ociFiles, tarOf} from '../helpers/image-archives.ts';
import {serialRootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function get(port: number, path: string): Promise<{status: number; body: string}> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {signal: AbortSignal.timeout(30_000), headers: {connection: 'close'}});
  return {status: response.status, body: await response.text()};
}

const hello = {status: 200, body: 'hello from nginx\n'};

function nginx(port: number): string {
  return `app web
    image debian-nginx
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
listen l
    bind 127.0.0.1:${port}
    server s app:web:80`;
}

/** A Debian root, on it the configuration of nginx, and what is run. */
async function nginxArchive(directory: string): Promise<Buffer> {
  const file = join(directory, 'layer.tar');
  const layers = [
    await layerOf(await rootfsWith('nginx-light'), file),
    tarOf([{name: 'srv/nginx.conf', content: await readFile(join(fixtures, 'nginx.conf'))}]),
  ];
  await rm(file);
  const config = {Entrypoint: ['/usr/sbin/nginx'], Cmd: ['-c', 'nginx.conf', '-p', '/srv'], WorkingDir: '/srv', ExposedPorts: {'80/tcp': {}}};
  return archiveOf(ociFiles([{layers: layers.map((tar) => ({tar, compression: 'zstd'})), config}]));
}

async function pagerOf(gateway: TestGateway): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('pager/main') && command.includes(gateway.stateDir)) return Number(entry);
  }
  throw new Error('no pager');
}

/** A program of the image, whose files are read only now. */
async function version(gateway: TestGateway): Promise<string> {
  const {stdout, stderr} = await runProgram(['exec', 'web', '-f', gateway.configFile, '--', 'nginx', '-V']);
  return stdout + stderr;
}

serialRootTest('nginx starts from an image, sleeps and wakes, also after its pager was killed', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(t, nginx(port));
  await gateway.cli('image', 'import', 'debian-nginx', await rootfsWith('nginx-light'));
  await gateway.start();
  t.deepEqual(await get(port, '/hello'), hello);
  t.regex(await version(gateway), /^nginx version/);
  await gateway.hibernate('web');
  t.deepEqual(await get(port, '/hello'), hello);
  t.regex(await version(gateway), /^nginx version/);
  const killed = await pagerOf(gateway);
  process.kill(killed, 'SIGKILL');
  t.deepEqual(await get(port, '/hello'), hello);
  await until(async () => (await pagerOf(gateway).catch(() => killed)) !== killed, {timeoutMs: 20_000});
  await gateway.hibernate('web');
  t.deepEqual(await get(port, '/hello'), hello);
  t.regex(await version(gateway), /^nginx version/);
  const {generation} = await gateway.app('web');
  t.is(generation, 2);
});

serialRootTest('an app that sleeps keeps the image it had, and a new start has the new one', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  // Everything but its name is what the image says.
  const gateway = await testGateway(
    t,
    `app web\n    image debian-nginx\n    hibernate-after never\nlisten l\n    bind 127.0.0.1:${port}\n    server s app:web:80`,
  );
  const archive = join(gateway.stateDir, 'nginx.oci.tar');
  await writeFile(archive, await nginxArchive(gateway.stateDir));
  await gateway.cli('image', 'import', 'debian-nginx', archive);
  t.regex(await gateway.cli('image', 'show', 'debian-nginx'), /^entrypoint +\["\/usr\/sbin\/nginx"\]$/m);
  await gateway.start();
  t.deepEqual(await get(port, '/hello'), hello);
  await gateway.hibernate('web');
  const digest = async (): Promise<string> => (JSON.parse(await gateway.cli('image', 'list', '--json')) as {digest: string}[])[0]?.digest ?? '';
  const before = await digest();
  await gateway.cli('image', 'import', 'debian-nginx', await rootfsWith('dnsmasq-base'));
  t.not(await digest(), before);
  t.deepEqual(await get(port, '/hello'), hello);
  await gateway.hibernate('web');
  // The name is gone, the checkpoint is not: so its image stays.
  await gateway.cli('image', 'rm', 'debian-nginx', '--yes');
  t.true((await readdir(join(gateway.stateDir, 'store', 'images', 'sha256'))).includes(before));
  t.deepEqual(await get(port, '/hello'), hello);
  t.regex(await version(gateway), /^nginx version/);
  // Nor does a gateway that starts anew know what the image says.
  await gateway.stop();
  await gateway.start();
  t.deepEqual(await get(port, '/hello'), hello);
  t.regex(await version(gateway), /^nginx version/);
});

serialRootTest('an app that could not start for want of its image starts when that is there, though it was removed and added meanwhile', async (t) => {
  t.timeout(120_000);
  const gateway = await testGateway(t, '', {globals: '    dynamic-apps\n'});
  await gateway.start();
  const rootfs = await rootfsWith('python3');
  const program = '/usr/bin/python3 /srv/durable-server.py 80 1';
  const add = async (): Promise<string> =>
    gateway.cli('app', 'add', 'a', '--image', 'small', '--exec', program, '--volume', `${fixtures}:/srv:ro`, '--expose', 'tcp:80');
  await gateway.cli('image', 'import', 'small', rootfs);
  await t.throwsAsync(gateway.cli('app', 'add', 'b', '--image', 'small', '--expose', 'tcp:80'), {
    message: /image "small" does not say which program to start; --exec does/,
  });
  await add();
  await gateway.cli('image', 'rm', 'small', '--yes');
  await t.throwsAsync(gateway.cli('wake', 'a'));
  await gateway.cli('app', 'rm', 'a', '--yes');
  await gateway.cli('image', 'import', 'small', rootfs);
  await add();
  await gateway.cli('wake', 'a');
  t.is((await gateway.app('a')).state, 'running');
});
