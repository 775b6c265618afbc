/** A systemd that is the first process of namespaces of its own, with this clone at /run/clone, and what the set-up has installed at /run/tools: see test/fixtures/boot-systemd.sh. */
import {mkdtemp, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {toolsDirectory} from '../../src/core/tools.ts';
import {findCgroupMounts} from '../../src/supervisor/cgroup-mounts.ts';
import {until} from './until.ts';

const [script, clone] = ['../fixtures/boot-systemd.sh', '../..'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const timeoutMs = 60_000;

export interface Systemd {
  /** Runs a program there. @throws CommandError */
  run(...argv: readonly [string, ...string[]]): Promise<string>;
  write(path: string, content: string): Promise<void>;
  /** A property of a unit. */
  show(unit: string, property: string): Promise<string>;
}

/** So that the groups of its units are below one that can be removed with them. */
async function ownGroup(t: ExecutionContext): Promise<string> {
  const {unified} = findCgroupMounts();
  if (unified === undefined) throw new Error('this host has no control groups of version 2');
  const group = await mkdtemp(join(unified, 'picogate-test-'));
  const remove = async (): Promise<boolean> =>
    run(['find', group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+'], {timeoutMs}).then(
      () => true,
      () => false, // The last processes are still ending.
    );
  t.teardown(() => until(remove, {what: 'the end of the control groups'}));
  return group;
}

/** Followed by a control group, and the program to be run in it. */
const enterGroup = ['sh', '-c', 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', 'sh'] as const;

/**
 * All of it is gone at the teardown.
 * @param options.network the host's, or one with nothing but its loopback, where every port is free
 */
export async function bootSystemd(t: ExecutionContext, {network = 'of the host'}: {network?: 'of the host' | 'its own'} = {}): Promise<Systemd> {
  const group = await ownGroup(t);
  const net = network === 'its own' ? ['--net'] : [];
  const namespaces = [...net, '--mount', '--pid', '--cgroup', '--ipc', '--fork', '--kill-child', '--mount-proc'];
  const daemon = await startDaemon([...enterGroup, group, 'unshare', ...namespaces, 'sh', script ?? '', clone ?? '', toolsDirectory()], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => daemon[Symbol.asyncDispose]());
  let first = '';
  await until(
    async () => {
      first = (await readFile(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8')).trim();
      return first !== '' && (await readFile(`/proc/${first}/comm`, 'utf8')).startsWith('systemd');
    },
    {what: 'systemd'},
  );
  const enter = ['nsenter', '-t', first, ...net, '--mount', '--pid', '--cgroup', '--'] as const;
  const systemd: Systemd = {
    run: async (...argv) => (await run([...enter, ...argv], {timeoutMs})).stdout,
    async write(path, content) {
      await run([...enter, 'sh', '-c', 'mkdir -p "$(dirname "$1")" && cat >"$1"', 'sh', path], {timeoutMs, input: content});
    },
    show: async (unit, property) => (await systemd.run('systemctl', 'show', unit, '--property', property, '--value')).trim(),
  };
  await until(
    () =>
      systemd.run('systemctl', 'is-active', 'multi-user.target').then(
        () => true,
        () => false,
      ),
    {what: 'the start of systemd'},
  );
  return systemd;
}
