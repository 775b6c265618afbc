/** Real servers, each asleep and awake again more than once. */
import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import {connect} from 'node:net';
import {fileURLToPath} from 'node:url';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function get(port: number, path: string): Promise<{status: number; body: string}> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {signal: AbortSignal.timeout(20_000), headers: {connection: 'close'}});
  return {status: response.status, body: await response.text()};
}

rootTest('nginx: master and worker sleep and wake, and serve the same page', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app web
    rootfs ${await rootfsWith('nginx-light')}
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${fixtures}:/srv:ro
    expose tcp 80
listen l
    bind 127.0.0.1:${port}
    server s app:web:80`,
  );
  await gateway.start();
  for (const generation of [1, 2, 3]) {
    t.deepEqual(await get(port, '/hello'), {status: 200, body: 'hello from nginx\n'});
    t.is((await gateway.reaches('web', 'hibernated')).generation, generation);
  }
});

rootTest('redis-server: data stays, and memory that jemalloc gave back reads as zero after a wake', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app cache
    rootfs ${await rootfsWith('redis-server')}
    exec /usr/bin/redis-server --port 6379 --bind 0.0.0.0 --save "" --protected-mode no --daemonize no --dir /tmp
    expose tcp 6379
listen l
    bind 127.0.0.1:${port}
    server s app:cache:6379`,
  );
  await gateway.start();
  const value = (n: number): string => `${n}-${'x'.repeat(2000 + (n % 7))}`;
  const {Redis} = await import('ioredis');
  const withRedis = async <T>(use: (redis: InstanceType<typeof Redis>) => Promise<T>): Promise<T> => {
    const redis = new Redis({port, host: '127.0.0.1', lazyConnect: true, maxRetriesPerRequest: 1});
    await redis.connect();
    try {
      return await use(redis);
    } finally {
      redis.disconnect();
    }
  };
  // By hand: an app that is woken as soon as it sleeps is given more and more time.
  const hibernated = (): Promise<unknown> =>
    until(
      () =>
        gateway.cli('hibernate', 'cache').then(
          () => true,
          () => false,
        ),
      {timeoutMs: 20_000, what: 'the sleep'},
    );
  await withRedis(async (redis) => {
    const pipeline = redis.pipeline();
    for (let n = 0; n < 5000; n += 1) pipeline.set(`key:${n}`, value(n));
    await pipeline.exec();
  });
  await hibernated();
  for (let round = 0; round < 3; round += 1) {
    await withRedis(async (redis) => {
      // Half of the keys go, and jemalloc returns their pages to the kernel; then new ones take fresh pages.
      const deleted = redis.pipeline();
      for (let n = round; n < 5000; n += 3) deleted.del(`key:${n}`);
      await deleted.exec();
      await redis.call('MEMORY', 'PURGE');
      const again = redis.pipeline();
      for (let n = round; n < 5000; n += 3) again.set(`key:${n}`, value(n));
      await again.exec();
    });
    await hibernated();
    await withRedis(async (redis) => {
      const values = await redis.mget(Array.from({length: 5000}, (_, n) => `key:${n}`));
      t.deepEqual(
        values,
        Array.from({length: 5000}, (_, n) => value(n)),
      );
    });
    await hibernated();
  }
});

rootTest('a Node server keeps its variables, timers and connections', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app node
    rootfs ${await rootfsWith('nodejs')}
    exec /usr/bin/node /srv/counter-server.cjs 8080
    volume ${fixtures}:/srv:ro
    expose tcp 8080
listen l
    bind 127.0.0.1:${port}
    server s app:node:8080`,
  );
  await gateway.start();
  for (const count of [1, 2, 3]) {
    t.deepEqual(JSON.parse((await get(port, '/')).body), {count, sum: 499_999_500_000});
    await gateway.reaches('node', 'hibernated');
  }
});

rootTest('a threaded server goes on with all its threads', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app threads
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/threaded-server.py 80 8
    volume ${fixtures}:/srv:ro
    expose tcp 80
listen l
    bind 127.0.0.1:${port}
    server s app:threads:80`,
  );
  await gateway.start();
  for (const round of [1, 2, 3]) {
    t.is(await ask(port, 'work'), Array(8).fill(round).join(' '));
    await gateway.reaches('threads', 'hibernated');
  }
});

/** A DNS query for the A record of `name`, RFC 1035, section 4. */
function query(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

rootTest('dnsmasq: a datagram wakes it, through a udp frontend and through the kernel', async (t) => {
  t.timeout(120_000);
  const [edgePort, natPort] = [await freePort(), await freePort()];
  const gateway = await testGateway(
    t,
    `app dns
    rootfs ${await rootfsWith('dnsmasq-base')}
    exec /usr/sbin/dnsmasq -k -u root -g root --no-resolv --no-hosts --address=/wiki.test/192.0.2.7 --log-facility=-
    expose udp 53
frontend edge
    mode udp
    bind 127.0.0.1:${edgePort}
    default_backend dns
frontend kernel
    mode nat
    bind udp@127.0.0.1:${natPort}
    default_backend dns
backend dns
    server s app:dns:53`,
  );
  await gateway.start();
  for (const port of [edgePort, natPort, edgePort]) {
    const socket = createSocket('udp4');
    t.teardown(() => {
      try {
        socket.close();
      } catch {
        // Closed at the end of the round.
      }
    });
    socket.send(query('wiki.test'), port, '127.0.0.1');
    const [message] = (await Promise.race([
      once(socket, 'message'),
      new Promise((_resolve, reject) => setTimeout(() => reject(new Error('no answer')), 10_000)),
    ])) as [Buffer];
    t.true(message.includes(Buffer.from([192, 0, 2, 7])), `port ${port}`);
    socket.close();
    await gateway.reaches('dns', 'hibernated');
  }
});

rootTest('sshd: a server that speaks first greets a client that woke it', async (t) => {
  t.timeout(120_000);
  const [edgePort, natPort] = [await freePort(), await freePort()];
  const gateway = await testGateway(
    t,
    `app ssh
    rootfs ${await rootfsWith('openssh-server', 'openssh-client', 'coreutils')}
    exec /bin/sh -c "mkdir -p /run/sshd && ssh-keygen -q -t ed25519 -N '' -f /tmp/key && exec /usr/sbin/sshd -D -e -h /tmp/key"
    expose tcp 22
frontend edge
    bind 127.0.0.1:${edgePort}
    default_backend ssh
frontend kernel
    mode nat
    bind 127.0.0.1:${natPort}
    default_backend ssh
backend ssh
    server s app:ssh:22`,
  );
  await gateway.start();
  for (const port of [edgePort, natPort, edgePort]) {
    using client = await lineClient(port);
    t.regex(await client.nextLine(), /^SSH-2\.0-OpenSSH/);
    client.socket.end();
    await gateway.reaches('ssh', 'hibernated');
  }
});

rootTest('half-closed connections get their whole answer', async (t) => {
  t.timeout(60_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `app threads
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/threaded-server.py 80 2
    volume ${fixtures}:/srv:ro
    expose tcp 80
listen l
    bind 127.0.0.1:${port}
    server s app:threads:80`,
  );
  await gateway.start();
  const socket = connect({port, host: '127.0.0.1', allowHalfOpen: true});
  socket.end('slow\n');
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  t.is(Buffer.concat(chunks).toString(), 'done\n');
});
