import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import {sendFromPortZero} from '../helpers/forged-datagram.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {openAsker, openTestDns, question} from './dns/dns-fixture.ts';
import {openTestEdge} from './edge-fixture.ts';

rootTest('datagrams from port 0 are dropped: nobody can be answered there', async (t) => {
  await using dns = await openTestDns();
  await sendFromPortZero(dns.udpPort, question('blog.apps.example.com'));
  await using asker = await openAsker(dns.udpPort);
  asker.send(question('blog.apps.example.com'));
  await until(() => asker.received.length === 1);

  const server = createSocket('udp4');
  server.on('message', (datagram, from) => server.send(datagram, from.port, from.address));
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  await using edge = await openTestEdge({mode: 'udp', target: {app: false, port: server.address().port}});
  await sendFromPortZero(edge.port, Buffer.from('x'));
  await using client = await openAsker(edge.port);
  client.send(Buffer.from('y'));
  await until(() => client.received.length === 1);
  t.is(edge.counters().get('front')?.accepted, 1);
  server.close();
});
