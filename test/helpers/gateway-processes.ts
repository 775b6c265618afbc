/** The processes that a gateway consists of, found as an operator would: in /proc. */
import {readdir, readFile, readlink} from 'node:fs/promises';
import {join} from 'node:path';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {until} from './until.ts';

/** Ends a process and waits until it is gone. */
export async function killed(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await until(async () => !(await runs(pid)), {what: `the end of process ${pid}`});
}

/** A zombie does not run. */
export async function runs(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    return !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3));
  } catch {
    return false;
  }
}

/** By SIGSTOP. */
export async function isStopped(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}

export async function redisPid(stateDir: string): Promise<number> {
  return Number((await readFile(join(stateDir, 'redis', 'redis.pid'), 'utf8')).trim());
}

/** Processes whose command line has all of these words. */
export async function processesWith(...words: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'latin1').catch(() => '');
    if (words.every((word) => commandLine.includes(word)) && (await runs(Number(entry)))) found.push(Number(entry));
  }
  return found;
}

/** The pager of the gateway with this state directory. */
export async function pagerPid(stateDir: string): Promise<number> {
  const [pid, ...more] = await processesWith('pager/main.ts', `"${stateDir}/`);
  if (pid === undefined || more.length > 0) throw new Error(`not one pager but ${pid === undefined ? 'none' : more.length + 1}`);
  return pid;
}

/** What is in the control groups of an app, by whether it is a CRIU. */
async function groupMembers(identity: string, app: string): Promise<readonly {pid: number; isCriu: boolean}[]> {
  const pids = new Set<number>();
  for (const hierarchy of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/pids']) {
    const members = await readFile(join(hierarchy, 'picogate', identity, app, 'cgroup.procs'), 'latin1').catch(() => '');
    for (const pid of members.split('\n').filter((line) => line !== '')) pids.add(Number(pid));
  }
  // Not the command line: that of a process whose memory is missing has to be fetched. One that is on its way out has no program any more.
  const programs = await Promise.all([...pids].map(async (pid) => ({pid, program: await readlink(`/proc/${pid}/exe`).catch(() => '')})));
  return programs.flatMap(({pid, program}) => (program === '' ? [] : [{pid, isCriu: program.includes('criu')}]));
}

/** CRIUs in the control groups of an app, which are at work or wait. */
export async function criuPids(identity: string, app: string): Promise<number[]> {
  return (await groupMembers(identity, app)).filter(({isCriu}) => isCriu).map(({pid}) => pid);
}

/** The processes of an app. */
export async function appPids(identity: string, app: string): Promise<number[]> {
  return (await groupMembers(identity, app)).filter(({isCriu}) => !isCriu).map(({pid}) => pid);
}

/** Ends a gateway and then an app of it, so that nobody sees the app end. */
export async function killWithApp(gateway: {readonly stateDir: string; stop(signal: 'SIGKILL'): Promise<unknown>}, app: string): Promise<void> {
  const pids = await appPids(gatewayIdentity(gateway.stateDir), app);
  await gateway.stop('SIGKILL');
  for (const pid of pids) await killed(pid);
}
