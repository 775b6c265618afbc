import test from 'ava';
import {checkFiles} from '../../src/config/load.ts';
import {spreadFrontends} from '../../src/config/thread-spread.ts';

/** Which of the frontends `f` and `g` are spread, and why `f` is not. @param at where lines are added */
function spreadOf(at: {
  readonly global?: string;
  readonly f?: string;
  readonly b?: string;
  readonly server?: string;
  readonly g?: string;
  readonly threads?: number;
}): {
  readonly spread: readonly string[];
  readonly reason: string | null;
} {
  const text = `global
  nbthread ${at.threads ?? 2}
  ${at.global ?? ''}
defaults
  mode http
  timeout client 1s
  timeout server 1s
  timeout connect 1s
app a
  rootfs /
  exec /bin/true
  expose tcp 80
frontend f
  bind :8001
  ${at.f ?? ''}
  default_backend b
frontend g
  bind :8002
  ${at.g ?? ''}
  default_backend other
backend b
  ${at.b ?? ''}
  server s 192.0.2.1:80 ${at.server ?? ''}
  server t 192.0.2.2:80
backend other
  server s 192.0.2.3:80
backend apps
  server a app:a:80
backend t
  stick-table type ip size 1k store conn_cnt
`;
  const {config, diagnostics} = checkFiles([{path: 'threads.cfg', text}], {});
  if (config === null) throw new Error(diagnostics.map(({message}) => message).join('\n'));
  const {spread, kept} = spreadFrontends(config);
  return {spread: [...spread], reason: kept.find(({frontend}) => frontend.name === 'f')?.reason ?? null};
}

test('frontends that need nothing of each other are spread', (t) => {
  t.deepEqual(spreadOf({}), {spread: ['f', 'g'], reason: null});
  t.deepEqual(spreadOf({b: 'balance uri', server: 'check weight 3 backup slowstart 10s', f: 'maxconn 2'}), {spread: ['f', 'g'], reason: null});
  t.deepEqual(spreadOf({f: 'use_backend apps if { path /a } { src 10.0.0.0/8 } { src_port 1 } { nbsrv(b) gt 0 }'}).spread, ['f', 'g']);
  t.deepEqual(spreadOf({threads: 1}).spread, []);
});

const ofF: readonly (readonly [Parameters<typeof spreadOf>[0], string])[] = [
  [{f: 'rate-limit sessions 10'}, "it has 'rate-limit sessions'"],
  [{f: 'maxconn 1'}, "it has a 'maxconn' that is less than the number of threads"],
  [{f: 'stick-table type ip size 1k store conn_cnt'}, "'f' has a 'stick-table'"],
  [{f: 'http-request track-sc0 src table t'}, "a rule of 'f' counts in a 'stick-table'"],
  [{f: 'http-request deny if { src_conn_cnt(t) gt 3 }'}, "'src_conn_cnt' in 'f' asks a 'stick-table'"],
  [{f: 'http-request deny if { src,in_table(t) }'}, "'in_table' in 'f' asks a 'stick-table'"],
  [{f: 'http-request use-service prometheus-exporter if { path /m }'}, "'f' shows statistics"],
  [{f: 'stats uri /stats'}, "'f' shows statistics"],
  [{b: 'stick on src table t'}, "backend 'b' has 'stick' rules"],
  [{b: 'balance leastconn'}, "backend 'b' has 'balance leastconn', which counts sessions"],
  [{server: 'maxconn 10'}, "server 'b/s' has 'maxconn'"],
  [{server: 'check observe layer7'}, "server 'b/s' has 'observe'"],
  [{server: 'agent-check agent-port 99'}, "server 'b/s' has 'agent-check'"],
  [{f: 'use_backend apps if { path /a }', global: 'wake-rate per-source 3/1m'}, "server 'apps/a' is an app, and there is a 'wake-rate'"],
  [{f: 'use_backend %[path]', global: 'wake-rate per-source 3/1m'}, "server 'apps/a' is an app, and there is a 'wake-rate'"],
];

for (const [at, reason] of ofF) {
  test(`one frontend stays with the first thread: ${Object.values(at).join(', ')}`, (t) => t.deepEqual(spreadOf(at), {spread: ['g'], reason}));
}

const ofAll: readonly (readonly [Parameters<typeof spreadOf>[0], string])[] = [
  [{g: 'http-request deny if { be_conn(b) gt 3 }'}, "'be_conn' in 'g' asks how many sessions there are"],
  [{g: 'http-request set-var(proc.x) src'}, "'set-var' in 'g' changes a variable of the process"],
  [{g: 'http-request set-map(/tmp/x.map) %[src] 1'}, "'set-map' in 'g' changes what all threads look up"],
];

for (const [at, reason] of ofAll) {
  test(`all frontends stay with the first thread: ${Object.values(at).join(', ')}`, (t) => t.deepEqual(spreadOf(at), {spread: [], reason}));
}
