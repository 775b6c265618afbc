import {once} from 'node:events';
import {connect, createServer} from 'node:net';
import test from 'ava';
import {parseSocketTable, readPortUse} from '../../src/supervisor/ports.ts';

test('parseSocketTable() reads addresses and ports, also IPv4 in IPv6, and passes over what is not a socket', (t) => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000500 4D0A:0050 x
   2: 0000000000000000FFFF000005004D0A:0050 0000000000000000FFFF000001004D0A:C001 01 0 0 0
garbage`;
  t.deepEqual(parseSocketTable(text), [
    {localPort: 8080, remoteAddress: '0.0.0.0', remotePort: 0, state: 10},
    {localPort: 80, remoteAddress: '10.77.0.1', remotePort: 0xc001, state: 1},
  ]);
});

test('readPortUse() sees a listener and an established connection of a real process', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
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
});
