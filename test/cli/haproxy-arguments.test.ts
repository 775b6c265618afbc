import test from 'ava';
import {isHaproxyCommandLine, parseHaproxyArguments} from '../../src/cli/haproxy-arguments.ts';
import {parseMasterSocket} from '../../src/cli/stats-sockets.ts';

test('the command lines of init scripts, containers and units are understood', (t) => {
  const line = (text: string) => parseHaproxyArguments(text.split(' '));
  t.like(line('-f /etc/haproxy/haproxy.cfg -c -q'), {files: ['/etc/haproxy/haproxy.cfg'], action: 'check', quiet: true});
  t.like(line('-Ws -f a.cfg -f conf.d -p /run/haproxy.pid -S /run/haproxy-master.sock'), {
    masterWorker: true,
    mode: 'foreground',
    files: ['a.cfg', 'conf.d'],
    pidFile: '/run/haproxy.pid',
    masterSocket: '/run/haproxy-master.sock',
  });
  t.like(line('-D -f a.cfg -sf 12 13'), {mode: 'daemon', replaced: {pids: [12, 13], how: 'finish'}});
  t.like(line('-D -st 12 -f a.cfg'), {replaced: {pids: [12], how: 'terminate'}, files: ['a.cfg']});
  t.like(line('-D -db -f a.cfg'), {mode: 'foreground'});
  t.like(line('-dM -dS -n 100 -m 64 -L me -C / -f a.cfg'), {maxconn: 100, directory: '/', ignored: ['-dM', '-dS', '-m']});
  t.like(line('-V -- a.cfg -b.cfg'), {verbose: true, files: ['a.cfg', '-b.cfg']});
  t.like(line('-x /run/old.sock -f a'), {oldSocket: '/run/old.sock', files: ['a']});
  t.like(line('-x /dev/null -f a'), {oldSocket: null, files: ['a']});
  t.like(parseHaproxyArguments(['-f', 'a.cfg', '-sf']), {replaced: null}, 'the pid file of a process that does not run is empty');
  t.like(parseHaproxyArguments(['-sf', '12 13', '-f', 'a']), {replaced: {pids: [12, 13], how: 'finish'}});
  t.deepEqual(line('-vv').action, 'long-version');
  t.deepEqual(parseHaproxyArguments(['-cc', 'streq(a,a)']).action, {condition: 'streq(a,a)'});
});

test('what is no command line of HAProxy is refused', (t) => {
  for (const args of [['-Z'], ['-f'], ['-f', '-c'], ['-n', 'many'], ['-sf', 'x'], ['-st', '1'], ['stray'], ['-cc'], ['-p']]) {
    t.throws(() => parseHaproxyArguments(args), {code: 'ERR_USAGE'}, args.join(' '));
  }
  for (const args of [['run', '-f', 'a'], ['--help'], ['-h'], ['--version'], []]) t.false(isHaproxyCommandLine(args), args.join(' '));
  t.true(isHaproxyCommandLine(['-c', '-f', 'a']));
});

test('the value of -S is an address with options', (t) => {
  t.like(parseMasterSocket('/run/m.sock,level,operator,mode,660'), {
    address: {kind: 'unix', path: '/run/m.sock', abstract: false},
    level: 'operator',
    mode: 0o660,
  });
  t.like(parseMasterSocket('unix@/run/m.sock'), {level: 'admin', mode: null});
  t.like(parseMasterSocket('abns@m'), {address: {kind: 'unix', path: 'm', abstract: true}});
  t.deepEqual(parseMasterSocket('127.0.0.1:99').address, {kind: 'tcp', host: '127.0.0.1', port: 99});
  t.deepEqual(parseMasterSocket('ipv6@[::1]:99').address, {kind: 'tcp', host: '::1', port: 99});
  t.deepEqual(parseMasterSocket('*:99').address, {kind: 'tcp', host: '', port: 99});
  t.deepEqual(parseMasterSocket('fd@7').address, {kind: 'fd', fd: 7});
  for (const text of ['', 'relative', '127.0.0.1', '1.1.1.1:99999', '/run/m,mode,999', '/run/m,colour,red']) {
    t.throws(() => parseMasterSocket(text), {code: 'ERR_USAGE'}, text);
  }
});
