/** The servers that are woken: the same program in the same root file system, whoever wakes it. */
import {httpQuestion, lineQuestion, type Question} from '../client.ts';

export interface Server {
  readonly name: string;
  /** For names of apps, namespaces and files. */
  readonly id: string;
  readonly packages: readonly string[];
  /** The tests' fixtures are in /srv. */
  readonly exec: string;
  /** Asked once when it has started, for what it is to have in memory. */
  readonly fill?: Question;
  readonly question: Question;
}

/** Inside its network namespace. */
export const serverPort = 80;
const setBytes = 8 * 2 ** 20;
const largeSetBytes = 10 * 2 ** 20;

/** Bulk strings and a line of status, as redis answers them. */
function redisQuestion(command: string): Question {
  return {text: `${command}\r\n`, isComplete: (answer) => /^(\$-1|\+\w+)\r\n$/.test(answer) || /^\$\d+\r\n[^\r]*\r\n$/.test(answer)};
}

/** After it has grown, a table of keys is put in order bit by bit with each look into it, and until then each wake would touch other pages. */
const redisFill = redisQuestion(
  `EVAL "for i=1,20000 do redis.call('SET','key:'..i,string.rep(i..'-',80)) end for i=1,40000 do redis.call('GET','key:1') end return redis.status_reply('OK')" 0`,
);

export const nginx: Server = {
  name: 'nginx',
  id: 'nginx',
  packages: ['nginx-light'],
  exec: '/usr/sbin/nginx -c /srv/nginx.conf',
  question: httpQuestion,
};

export const node: Server = {
  name: 'Node, a catalogue in memory',
  id: 'node',
  packages: ['nodejs'],
  exec: `/usr/bin/node /srv/catalogue-server.cjs ${serverPort}`,
  question: httpQuestion,
};

export const memory64: Server = {
  name: '64 MB, 8 MiB touched',
  id: 'memory64',
  packages: ['python3'],
  exec: `/usr/bin/python3 /srv/memory-server.py ${serverPort} 64`,
  question: lineQuestion(`touch ${setBytes}`),
};

export const memory1024: Server = {
  name: '1 GB, 10 MiB touched',
  id: 'memory1024',
  packages: ['python3'],
  exec: `/usr/bin/python3 /srv/memory-server.py ${serverPort} 1024`,
  question: lineQuestion(`touch ${largeSetBytes}`),
};

export const servers: readonly Server[] = [
  nginx,
  {
    name: 'redis, 20,000 keys',
    id: 'redis',
    packages: ['redis-server'],
    exec: `/usr/bin/redis-server --port ${serverPort} --bind 0.0.0.0 --protected-mode no --daemonize no --dir /tmp --appendonly no`,
    fill: redisFill,
    question: redisQuestion('GET key:777'),
  },
  {
    name: 'Python, a database in memory',
    id: 'python',
    packages: ['python3'],
    exec: `/usr/bin/python3 /srv/database-server.py ${serverPort}`,
    question: httpQuestion,
  },
  node,
  memory64,
  memory1024,
];
