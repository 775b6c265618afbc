/** Images from archives: what others write is read as they mean it, and what is wrong leaves nothing. */
import {chmod, chown, link, mkdir, mkdtemp, open, readdir, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {zstdCompressSync} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {errorCode} from '../../src/core/errors.ts';
import {setAttribute} from '../../src/core/file-metadata.ts';
import {mkfifo, mknod} from '../../src/core/libc.ts';
import {parsePlatform} from '../../src/pager/images/archives/image-config.ts';
import {type Imported, type ImportOptions, importImage} from '../../src/pager/images/rootfs-image-import.ts';
import {loadImage} from '../../src/pager/images/rootfs-image-object.ts';
import {sweepImages} from '../../src/pager/images/rootfs-image-remove.ts';
import type {ImageNode} from '../../src/pager/images/rootfs-image-tree.ts';
import {verifyImages} from '../../src/pager/images/rootfs-image-verify.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';
import {archiveOf, dockerFiles, type ImageParts, ociFiles, sha256Of, type TarItem, tarOf, writeFiles} from '../helpers/image-archives.ts';
import {fc} from '../helpers/properties.ts';

const rootTest = process.getuid?.() === 0 ? test : test.skip;

interface Lab {
  readonly directory: string;
  readonly objects: ObjectStore;
  import(source: string | Buffer, options?: Partial<ImportOptions>): Promise<Imported>;
  /** What an image has below its root: `usr/bin/x` and what it is. */
  files(imported: Imported): Promise<Record<string, string>>;
}

async function lab(t: ExecutionContext): Promise<Lab> {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-archives-'));
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const objects = await openDirectoryStore(join(directory, 'store'));
  return {
    directory,
    objects,
    async import(source, options = {}) {
      const path = typeof source === 'string' ? source : join(directory, 'archive');
      if (typeof source !== 'string') await writeFile(path, source);
      return importImage({objects, name: 'x', source: path, temporaryDir: directory, ...options});
    },
    async files({digest}) {
      const {tree} = await loadImage(objects, digest);
      const found: Record<string, string> = {};
      const visit = (number: number, path: string): void => {
        const node = tree.nodes[number];
        if (node === undefined) throw new Error('a node is missing');
        if (path !== '') found[path] = described(node, number);
        if (node.kind === 'directory') for (const [name, child] of node.children) visit(child, path === '' ? name : `${path}/${name}`);
      };
      visit(0, '');
      return found;
    },
  };
}

function described(node: ImageNode, number: number): string {
  if (node.kind === 'file') return `file ${node.sizeBytes} #${number}`;
  if (node.kind === 'symlink') return `-> ${node.target}`;
  return node.kind;
}

// CAP_SETUID and CAP_SYS_NICE, as the kernel keeps them: bytes that are no text.
const capabilities = Buffer.from('0100000280008000000000000000000000000000', 'hex');

/** Files of every kind, with whole seconds, as not every format has more. */
async function oddFiles(root: string, {attributes}: {attributes: boolean}): Promise<string> {
  await mkdir(join(root, 'dir', 'n'.repeat(200)), {recursive: true});
  await writeFile(join(root, 'empty'), '');
  await writeFile(join(root, 'large'), Buffer.alloc(700_000, 'contents'));
  await link(join(root, 'large'), join(root, 'dir', 'the same'));
  await symlink(`../${'far/'.repeat(60)}away`, join(root, 'dir', 'long link'));
  await writeFile(Buffer.concat([Buffer.from(`${root}/not-utf8-`), Buffer.from([0xff, 0xe9])]), 'latin');
  await writeFile(join(root, 'dir', 'n'.repeat(200), 'm'.repeat(150)), 'deep');
  await writeFile(join(root, 'setuid'), '#!/bin/sh\n');
  await chown(join(root, 'setuid'), 3_000_000, 1001);
  await chmod(join(root, 'setuid'), 0o4755);
  await chmod(join(root, 'dir'), 0o1777);
  mkfifo(join(root, 'fifo'), 0o622);
  mknod(join(root, 'device'), 0o060600, 259, 70_000);
  {
    await using file = await open(join(root, 'sparse'), 'w');
    for (let part = 0; part < 40; part += 1) await file.write(Buffer.alloc(4096, `part ${part}`), 0, 4096, part * 65_536);
    await file.truncate(5_000_000);
  }
  if (attributes) {
    setAttribute(Buffer.from(join(root, 'setuid')), 'user.bytes', Buffer.from([0, 0xff, 0x0a, 0x3d, 0x80]));
    setAttribute(Buffer.from(join(root, 'large')), 'security.capability', capabilities);
  }
  await run(['find', root, '-exec', 'touch', '-h', '-d', '@1000000001', '{}', '+'], {timeoutMs: 5000});
  return root;
}

rootTest('a tarball of any format and compression makes the image that its directory makes', async (t) => {
  const it = await lab(t);
  const plain = await oddFiles(join(it.directory, 'plain'), {attributes: false});
  const withAttributes = await oddFiles(join(it.directory, 'attributes'), {attributes: true});
  const expected = {plain: (await it.import(plain)).digest, withAttributes: (await it.import(withAttributes)).digest};
  const path = join(it.directory, 'a.tar');
  const tar = async (root: string, ...options: readonly string[]): Promise<string> => {
    await run(['tar', '-C', root, '--numeric-owner', ...options, '-cf', path, '.'], {timeoutMs: 30_000});
    return (await it.import(path)).digest;
  };
  const pax = ['--format=posix', '--xattrs', '--xattrs-include=*'] as const;
  t.is(await tar(withAttributes, ...pax), expected.withAttributes);
  for (const version of ['0.0', '0.1', '1.0']) t.is(await tar(withAttributes, ...pax, '--sparse', `--sparse-version=${version}`), expected.withAttributes);
  for (const options of [['--format=gnu'], ['--format=gnu', '--sparse'], ['--format=oldgnu', '--sparse']]) t.is(await tar(plain, ...options), expected.plain);
  for (const program of ['gzip', 'xz', 'bzip2']) t.is(await tar(plain, `--use-compress-program=${program}`), expected.plain, program);
});

test('zstd data of several frames is read to its end', async (t) => {
  const it = await lab(t);
  const tar = tarOf([
    {name: 'a', content: 'a'.repeat(5000)},
    {name: 'b', content: 'b'},
  ]);
  const skippable = Buffer.from([0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const frames = [skippable, zstdCompressSync(tar.subarray(0, 700)), skippable, zstdCompressSync(tar.subarray(700)), skippable];
  t.deepEqual(Object.keys(await it.files(await it.import(Buffer.concat(frames)))), ['a', 'b']);
});

const base: readonly TarItem[] = [
  {name: './', type: '5', mode: 0o755},
  {name: 'etc/', type: '5', mode: 0o755},
  {name: 'etc/passwd', content: 'root'},
  {name: 'etc/old/', type: '5', mode: 0o755},
  {name: 'etc/old/a', content: 'a'},
  {name: 'etc/old/b', content: 'b'},
  {name: 'usr/bin/tool', content: 'tool', mode: 0o4755},
  {name: 'bin', type: '2', link: 'usr/bin'},
  {name: 'out', type: '2', link: '../../../../../../tmp'},
];

function image(...layers: readonly (readonly TarItem[])[]): ImageParts {
  return {layers: layers.map((items) => ({tar: tarOf(items)}))};
}

test('layers: whiteouts, opaque directories, replaced files, links to other layers, and paths through links', async (t) => {
  const it = await lab(t);
  const second: readonly TarItem[] = [
    {name: 'etc/.wh.passwd', content: ''},
    // What is in the same layer stays, in whichever order it comes.
    {name: 'etc/old/c', content: 'c'},
    {name: 'etc/old/.wh..wh..opq', content: ''},
    {name: 'etc/.wh..wh.plnk', content: ''},
    {name: 'etc/.wh.nothing', content: ''},
    {name: 'bin/other', content: 'other'},
    {name: 'bin/again', type: '1', link: 'bin/tool'},
    // Confined: it is below the root of the image.
    {name: 'out/../../tmp/x'.replace('/../..', ''), content: 'x'},
    {name: '/absolute', content: 'yes'},
  ];
  const third: readonly TarItem[] = [
    {name: 'usr/bin/tool', content: 'new tool'},
    {name: 'usr/.wh.bin2', content: ''},
    {name: 'absolute', type: '5', mode: 0o700},
  ];
  const files = await it.files(await it.import(archiveOf(ociFiles([image(base, second, third)]))));
  t.deepEqual(Object.fromEntries(Object.entries(files).map(([name, what]) => [name, what.replace(/ #\d+$/, '')])), {
    absolute: 'directory',
    bin: '-> usr/bin',
    etc: 'directory',
    'etc/old': 'directory',
    'etc/old/c': 'file 1',
    out: '-> ../../../../../../tmp',
    tmp: 'directory',
    'tmp/tmp': 'directory',
    'tmp/tmp/x': 'file 1',
    usr: 'directory',
    'usr/bin': 'directory',
    'usr/bin/again': 'file 4',
    'usr/bin/other': 'file 5',
    'usr/bin/tool': 'file 8',
  });
  // What a later layer hides is not stored at all.
  const {tree} = await loadImage(
    it.objects,
    (await it.import(archiveOf(ociFiles([image([{name: 'a', content: 'hidden'}], [{name: 'a', content: 'seen'}])])))).digest,
  );
  t.deepEqual(
    tree.chunks.map(({digest}) => `sha256:${digest}`),
    [sha256Of(Buffer.from('seen'))],
  );
  // A tarball has no whiteouts: the name is a name.
  t.deepEqual(Object.keys(await it.files(await it.import(tarOf([{name: '.wh.a', content: ''}])))), ['.wh.a']);
});

test('one name of two for one file can be replaced, and both stay one until then', async (t) => {
  const it = await lab(t);
  const linked = [...base, {name: 'usr/bin/second', type: '1', link: './usr/bin/tool'}];
  const one = await it.files(await it.import(archiveOf(ociFiles([image(linked, [{name: 'usr/bin/third', type: '1', link: '/bin/second'}])]))));
  t.is(new Set(['usr/bin/tool', 'usr/bin/second', 'usr/bin/third'].map((name) => one[name])).size, 1);
  const two = await it.files(await it.import(archiveOf(ociFiles([image(linked, [{name: 'usr/bin/tool', content: 'replaced'}])]))));
  t.regex(two['usr/bin/tool'] ?? '', /^file 8 /);
  t.regex(two['usr/bin/second'] ?? '', /^file 4 /);
});

const settings = {
  Entrypoint: ['/entry'],
  Cmd: ['serve', '--fast'],
  Env: ['PATH=/bin', 'EMPTY=', 'not a variable'],
  User: 'www-data:www-data',
  WorkingDir: '/srv',
  ExposedPorts: {'80/tcp': {}, '5353/udp': {}, '9000-9002': {}, '7/sctp': {}},
  Labels: {'org.opencontainers.image.title': 'wiki'},
  StopSignal: 'SIGQUIT',
};

test('the same image in every form, with the same configuration', async (t) => {
  const it = await lab(t);
  const parts = {...image(base), config: settings, tag: 'registry.example/wiki:1'};
  const forms: Record<string, string | Buffer> = {
    'oci-layout': await writeFiles(join(it.directory, 'layout'), ociFiles([parts], {nested: true})),
    'oci-archive': archiveOf(ociFiles([parts])),
    'docker-archive': tarOf(dockerFiles(parts)),
  };
  const digests = new Set<string>();
  for (const [kind, source] of Object.entries(forms)) {
    const {config, digest, origin} = await it.import(source);
    digests.add(digest);
    t.like(origin, {kind}, kind);
    t.deepEqual(config, {
      entrypoint: ['/entry'],
      cmd: ['serve', '--fast'],
      env: ['PATH=/bin', 'EMPTY='],
      user: 'www-data:www-data',
      workingDir: '/srv',
      exposedPorts: [{protocol: 'tcp', port: 80}, {protocol: 'udp', port: 5353}, ...[9000, 9001, 9002].map((port) => ({protocol: 'tcp' as const, port}))],
      labels: {'org.opencontainers.image.title': 'wiki'},
      stopSignal: 'SIGQUIT',
    });
  }
  // Both in one, and compressed as a whole; layers in other ways.
  const both = zstdCompressSync(tarOf([...dockerFiles(parts), ...[...ociFiles([parts])].map(([name, content]) => ({name, content}))]));
  digests.add((await it.import(both)).digest);
  for (const compression of ['none', 'zstd'] as const) {
    digests.add((await it.import(archiveOf(ociFiles([{...parts, layers: parts.layers.map(({tar}) => ({tar, compression}))}])))).digest);
  }
  t.is(digests.size, 1);
  t.deepEqual(
    (await readdir(it.directory)).filter((name) => name.startsWith('import-')),
    [],
  );
});

test('of several images the one for this machine is taken, or the one that is asked for', async (t) => {
  const it = await lab(t);
  const other = process.arch === 'x64' ? 'arm64' : 'amd64';
  const here = {...image([{name: 'here', content: 'x'}]), tag: 'v1'};
  const there = {...image([{name: 'there', content: 'x'}]), architecture: other, tag: 'v1'};
  const newer = {...image([{name: 'newer', content: 'x'}]), tag: 'v2'};
  const names = async (images: readonly ImageParts[], options: Partial<ImportOptions> = {}) =>
    Object.keys(await it.files(await it.import(archiveOf(ociFiles(images)), options)));
  t.deepEqual(await names([there, here]), ['here']);
  t.deepEqual(await names([there, here], {platform: parsePlatform(`linux/${other}`)}), ['there']);
  t.deepEqual(await names([here, newer], {tag: 'v2'}), ['newer']);
  await t.throwsAsync(names([here, newer]), {code: 'ERR_IMAGE_SOURCE', message: /several images, "v1", "v2": name one of them with --tag/});
  await t.throwsAsync(names([here, newer], {tag: 'v3'}), {message: /none of its images has the tag "v3"; there are: "v1", "v2"/});
  await t.throwsAsync(names([there]), {message: new RegExp(`it is for linux/${other}, and linux/.* is wanted; .*--platform`)});
  await t.throwsAsync(it.import(tarOf(dockerFiles(there))), {message: /it is for linux/});
});

test('what is wrong with an archive is said, and leaves nothing', async (t) => {
  const it = await lab(t);
  const refused = async (source: Buffer, message: RegExp): Promise<void> => {
    await t.throwsAsync(it.import(source), {code: 'ERR_IMAGE_SOURCE', message});
    await sweepImages({objects: it.objects, neededDigests: async () => new Set()});
    t.deepEqual(await it.objects.list('images/'), []);
  };
  const layered = (...items: TarItem[]): Buffer => archiveOf(ociFiles([image(base, items)]));
  await refused(layered({name: 'a/../../x', content: ''}), /layer "blobs\/sha256\/[0-9a-f]{64}": "a\/..\/..\/x" leads out of the directory/);
  await refused(layered({name: 'x', type: '1', link: '../etc/shadow'}), /"..\/etc\/shadow" leads out/);
  await refused(layered({name: 'x', type: '1', link: 'etc/none'}), /"x" is a link to "etc\/none", which is not there/);
  await refused(layered({name: 'x', type: '1', link: 'etc'}), /"x" is a link to "etc", a directory/);
  await refused(layered({name: 'etc/passwd/x', content: ''}), /is below "passwd", which is no directory/);
  await refused(layered({name: 'a', type: '2', link: 'b'}, {name: 'b', type: '2', link: 'a'}, {name: 'a/x', content: ''}), /too many symbolic links/);
  await refused(layered({name: 'etc/.wh...', content: ''}), /removes no file/);
  await refused(layered({name: 'x', type: 'Q'}), /"x" of the unknown type "Q"/);
  await refused(layered({name: 'x', pax: {size: '-1'}}), /size/);
  await refused(layered({name: 'n'.repeat(90), pax: {path: 'n'.repeat(256)}}), /more than 255 bytes/);
  await refused(archiveOf(ociFiles([{...image(base), config: {ExposedPorts: {'http/tcp': {}}}}])), /exposes "http\/tcp"/);
  await refused(tarOf(base).subarray(0, 1900), /at byte 1900 148 more bytes are expected, and it ends/);

  const files = ociFiles([image(base, [{name: 'new', content: 'new'}])]);
  const [name = '', data = Buffer.alloc(0)] = [...files].find(([key, content]) => key.startsWith('blobs/') && content[0] === 0x1f) ?? [];
  const wrong = Buffer.from(data);
  wrong[wrong.length >> 1] = (wrong[wrong.length >> 1] ?? 0) ^ 1;
  await refused(
    archiveOf(new Map([...files, [name, wrong]])),
    new RegExp(`"${name}" has the digest sha256:[0-9a-f]+, and ${name.slice(6).replace('/', ':')} is expected`),
  );
  files.delete(name);
  await refused(archiveOf(files), new RegExp(`it has no "${name}"`));
});

test('damaged archives are refused, or read as something else, and nothing worse', async (t) => {
  const it = await lab(t);
  const whole = [
    archiveOf(ociFiles([{...image(base), layers: [{tar: tarOf(base), compression: 'none'}]}])),
    tarOf(dockerFiles(image(base))),
    tarOf([{name: 'x', content: 'x', pax: {'GNU.sparse.map': '0,1', 'GNU.sparse.size': '4096', 'GNU.sparse.name': 'y', mtime: '1.5'}}]),
  ];
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat({max: 255})), {minLength: 1, maxLength: 8});
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...whole), damage, fc.nat(), async (archive, changes, end) => {
      const damaged = Buffer.from(archive.subarray(0, end % 4 === 0 ? end % archive.length : archive.length));
      for (const [at, byte] of changes) if (damaged.length > 0) damaged[at % damaged.length] = byte;
      try {
        await it.import(damaged);
      } catch (error) {
        t.is(errorCode(error), 'ERR_IMAGE_SOURCE', String(error));
      }
    }),
    {numRuns: 60},
  );
});

test('verifyImages() names the images and the files that a damaged pack costs', async (t) => {
  const it = await lab(t);
  const one = await it.import(
    tarOf([
      {name: 'usr/a', content: 'a'.repeat(50_000)},
      {name: 'usr/b', content: 'another'},
    ]),
  );
  const two = await it.import(tarOf([{name: 'c', content: 'a third'}]), {name: 'y'});
  const verify = () => verifyImages({objects: it.objects, images: [one, two], signal: new AbortController().signal});
  t.like(await verify(), {images: 2, chunks: 3, damage: []});
  const [pack] = (await loadImage(it.objects, one.digest)).layout.packs;
  const path = join(it.directory, 'store', pack ?? '');
  {
    await using file = await open(path, 'r+');
    const {size} = await file.stat();
    await file.write(Buffer.from([0x55]), 0, 1, size - 1);
  }
  t.like(await verify(), {damage: [{images: ['x'], files: ['/usr/b']}]});
  await rm(path);
  t.like((await verify()).damage[0], {images: ['x'], found: `Cannot use object "${pack}": it is not there`});
  await writeFile(join(it.directory, 'store', 'images', 'sha256', two.digest), 'no image');
  t.deepEqual(
    (await verify()).damage.map(({images}) => images),
    [['y'], ['x']],
  );
});
