import {once} from 'node:events';
import {readFile, readlink} from 'node:fs/promises';
import test, {type ExecutionContext} from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {canLendCalls, lendCalls} from '../../src/core/ptrace.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

/** Elsewhere than on x86-64 it is not used. */
const lendingTest = canLendCalls ? rootTest : test.skip;

const calls = {close: 3, getpid: 39, openat: 257} as const;

/** Not a child of this process, of which Node would take the news. */
async function grandchild(t: ExecutionContext, command: string): Promise<number> {
  const shell = await startDaemon(['sh', '-c', `${command} & echo $!; wait`], {stdio: ['ignore', 'pipe', 'ignore']});
  const [pid] = shell.child.stdout === null ? [''] : ((await once(shell.child.stdout, 'data')) as [Buffer]);
  t.teardown(async () => {
    process.kill(Number(pid), 'SIGKILL');
    await shell[Symbol.asyncDispose]();
  });
  return Number(pid);
}

async function stateOf(pid: number): Promise<string> {
  return /^State:\t(\S)/m.exec(await readFile(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '';
}

lendingTest('a process that waits makes system calls for others, and waits on', async (t) => {
  const pid = await grandchild(t, 'sleep 1000');
  const inSleep = async (): Promise<string> => readFile(`/proc/${pid}/syscall`, 'latin1');
  await until(async () => /^(35|230) /.test(await inSleep()), {what: 'a program that sleeps'});
  const before = await inSleep();
  const opened = await lendCalls(pid, async (lender) => {
    t.is(await lender.call('ask', calls.getpid), pid);
    return lender.call('open', calls.openat, -100, lender.put(Buffer.from('/proc/self/status\0')), 0);
  });
  t.is(await readlink(`/proc/${pid}/fd/${opened}`), `/proc/${pid}/status`);
  await t.throwsAsync(
    lendCalls(pid, (lender) => lender.call('close', calls.close, 999)),
    {code: 'ERR_SYSTEM_CALL', message: /Cannot close in process \d+: EBADF/},
  );
  await until(async () => (await inSleep()) === before, {what: 'the same call'});
  t.is(await stateOf(pid), 'S');
});

lendingTest('a process that does not wait, or is not there, lends nothing, and goes on', async (t) => {
  const busy = await grandchild(t, 'while :; do :; done');
  await t.throwsAsync(
    lendCalls(busy, () => Promise.resolve()),
    {code: 'ERR_PTRACE', message: /waits in no system call/},
  );
  await until(async () => (await stateOf(busy)) === 'R', {what: 'a program that goes on'});
  const gone = await grandchild(t, 'sleep 1000');
  const lost = lendCalls(gone, async (lender) => {
    process.kill(gone, 'SIGKILL');
    await lender.call('ask', calls.getpid);
  });
  await t.throwsAsync(lost);
  await t.throwsAsync(
    lendCalls(2 ** 30, () => Promise.resolve()),
    {code: 'ERR_SYSTEM_CALL', message: /Cannot trace \(seize\) process \d+: ESRCH/},
  );
});
