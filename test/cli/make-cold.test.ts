import test from 'ava';
import {makeCold} from '../../src/cli/make-cold.ts';

test('makeCold() stores nothing of an app that was woken while it waited for a compaction', async (t) => {
  let state: 'hibernated' | 'running' = 'hibernated';
  const calls: string[] = [];
  const call = (name: string) => async (): Promise<void> => Promise.resolve(void calls.push(name));
  const app = {
    status: () => ({state}),
    hibernate: async () => Promise.resolve('hibernated' as const),
    housekeeping: {
      async done() {
        calls.push('done');
      },
      async hold() {
        state = 'running';
        return Promise.resolve({[Symbol.dispose]: () => undefined});
      },
      dropFiles: async () => Promise.resolve(true),
    },
    standby: {drop: call('drop')},
  };
  t.is(await makeCold({app, name: 'shop'}, {finishUpload: call('finishUpload'), dropLocal: call('dropLocal')}), 'cancelled');
  t.deepEqual(calls, ['done']);
});
