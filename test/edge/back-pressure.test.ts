import {once} from 'node:events';
import {connect} from 'node:net';
import test from 'ava';
import {until} from '../helpers/until.ts';
import {openTestEdge, testServer} from './edge-fixture.ts';

// In a file of its own, because it looks at the memory of the process.
test('a slow reader holds the server back, and memory stays bounded', async (t) => {
  const total = 256 * 1024 * 1024;
  let written = 0;
  const chunk = Buffer.alloc(256 * 1024, 7);
  await using server = await testServer((socket) => {
    const fill = (): void => {
      while (written < total && socket.writable) {
        written += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('drain', fill);
    fill();
  });
  await using edge = await openTestEdge({target: {port: server.port}});
  const beforeBytes = process.memoryUsage().rss;
  const socket = connect({port: edge.port, host: '127.0.0.1'});
  await once(socket, 'connect');
  socket.pause();
  let last = -1;
  await until(
    () => {
      const still = written === last && written > 0;
      last = written;
      return still;
    },
    {intervalMs: 150},
  );
  t.true(written < 64 * 1024 * 1024, `${written} bytes left the server`);
  t.true(process.memoryUsage().rss - beforeBytes < 64 * 1024 * 1024);
  socket.destroy();
});
