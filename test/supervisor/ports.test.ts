import {once} from 'node:events';
import {connect, createServer} from 'node:net';
import test from 'ava';
import {parseSocketTable, readPortUse} from '../../src/supervisor/ports.ts';
import {until} from '../helpers/until.ts';

test('parseSocketTable() reads addresses and ports, also IPv4 in IPv6, and passes over what is not a socket', (t) => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000500 4D0A:0050 x
   2: 0000000000000000FFFF000005004D0A:0050 0000000000000000FFFF000001004D0A:C001 01 00000010:0000002A 0 0
garbage`;
  t.deepEqual(parseSocketTable(text), [
    {localPort: 8080, remoteAddress: '0.0.0.0', remotePort: 0, state: 10, sendQueue: 0, receiveQueue: 0},
    {localPort: 80, remoteAddress: '10.77.0.1', remotePort: 0xc001, state: 1, sendQueue: 0x10, receiveQueue: 0x2a},
  ]);
});

test('readPortUse() sees a listener and an established connection of a real process', async (t) => {
  const server = createServer({pauseOnConnect: true}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const client = connect(address.port, '127.0.0.1');
  await once(client, 'connect');
  t.teardown(() => client.destroy());
  const use = await readPortUse(process.pid);
  t.true(use.tcp.has(address.port));
  t.true(use.flows.some((flow) => flow.localPort === address.port && flow.remotePort === client.localPort && flow.remoteAddress === '127.0.0.1'));
  t.false(use.flows.some((flow) => flow.remoteAddress === '0.0.0.0'));
  // Nobody reads what the client sends: a paused socket leaves it in the kernel.
  client.write('unread');
  await until(async () => (await readPortUse(process.pid)).hasUnfinished, {what: 'bytes in a receive queue'});
});
