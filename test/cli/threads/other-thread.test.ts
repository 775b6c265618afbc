import {join} from 'node:path';
import test from 'ava';
import {CommandError, run} from '../../../src/core/command.ts';
import {errorMessage} from '../../../src/core/errors.ts';

const source = join(import.meta.dirname, '../../../src');

/** In a process of its own, which ends with what is done there. */
async function inProcess(work: string): Promise<{readonly exitCode: number | null; readonly stderr: string}> {
  const program = `
    import {createLog} from '${source}/core/log.ts';
    import {endWithThreads} from '${source}/core/end-process.ts';
    import {openListeningSockets} from '${source}/edge/listening-sockets.ts';
    import {sharedNumbers} from '${source}/edge/numbers.ts';
    import {SessionLimit} from '${source}/edge/session-limit.ts';
    import {OtherThread} from '${source}/cli/threads/other-thread.ts';
    endWithThreads();
    const limit = new SessionLimit(10);
    const data = {index: 1, numbers: sharedNumbers(), sessions: limit.shared, maxconn: 10, ticketKeys: new Uint8Array(48), log: {level: 'info', form: 'json'}};
    const thread = new OtherThread({data, sockets: openListeningSockets(), access: () => undefined, onLimit: () => undefined});
    await thread.look(false);
    ${work}`;
  try {
    const {stderr} = await run([process.execPath, '--input-type=module', '--eval', program], {timeoutMs: 30_000});
    return {exitCode: 0, stderr};
  } catch (error) {
    if (error instanceof CommandError) return {exitCode: error.exitCode, stderr: error.stderr};
    throw new Error(errorMessage(error));
  }
}

test('a thread that fails ends the process, which says why', async (t) => {
  const {exitCode, stderr} = await inProcess("thread.tell({kind: 'nonsense'}); setInterval(() => undefined, 1000);");
  t.is(exitCode, 1);
  t.regex(stderr, /Thread 1 of the edge has failed: .*A thread was told "nonsense"/s);
});

test('what a thread cannot do is an error of who asked', async (t) => {
  const {exitCode, stderr} = await inProcess(
    "const error = await thread.ask({kind: 'drain', generation: 3, deadlineMs: 1}).catch((error) => error); console.error(error.code); await thread[Symbol.asyncDispose]();",
  );
  t.is(exitCode, 0);
  t.is(stderr, 'ERR_ASSERTION\n');
});

test('a thread ends in order, and with a process that ends at once', async (t) => {
  t.deepEqual(await inProcess('await thread[Symbol.asyncDispose]();'), {exitCode: 0, stderr: ''});
  t.deepEqual(await inProcess('process.exit(7);'), {exitCode: 7, stderr: ''});
});
