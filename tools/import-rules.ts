/**
 * What may import what. Every edge between folders and every package has its reason here; what is not listed is refused
 * by tools/check-imports.ts. A folder may always import from itself, and everything may import from src/core.
 */

export interface FolderEdge {
  readonly from: string;
  readonly to: readonly string[];
  readonly why: string;
}

const features = ['src/edge', 'src/nat', 'src/supervisor', 'src/pager', 'src/admin'] as const;
const state = ['src/config', 'src/store'] as const;

export const folderEdges: readonly FolderEdge[] = [
  {from: 'src/store', to: ['src/config'], why: 'the store is opened from checked values: which Redis, which directory'},
  ...features.map((from) => ({from, to: state, why: 'features read checked configuration and keep state; they never import each other'})),
  {from: 'src/cli', to: [...state, ...features], why: 'the only place that wires things together'},
  {from: 'src/cli', to: ['tools'], why: 'the demonstration builds its root file system with the tool that the tests use'},
  {from: 'tools', to: [], why: 'tools stand on core only, so that the set-up works while the rest is being changed'},
  {from: 'test', to: ['src/cli', ...state, ...features, 'tools', 'bench'], why: 'tests reach everything'},
  {from: 'bench', to: ['src/cli', ...state, ...features, 'tools', 'test'], why: 'a benchmark drives any part, with the helpers of the tests'},
];

export interface ModuleRule {
  readonly name: string;
  /** Files, or folders with all they contain. */
  readonly importers: readonly string[];
  readonly why: string;
}

export const packageRules: readonly ModuleRule[] = [
  {name: 'htm', importers: ['src/admin/dashboard/assets'], why: 'elements of the dashboard written as HTML, in the browser, without a build step'},
  {name: 'preact', importers: ['src/admin/dashboard/assets'], why: 'keeps the page of the dashboard up to date, in the browser'},
  {
    name: '@aws-sdk/client-s3',
    importers: ['src/store/s3-client.ts', 'test/store'],
    why: 'S3, behind the interface of the object store; imported when a store needs it',
  },
  {name: '@aws-sdk/s3-request-presigner', importers: ['src/store/s3-client.ts', 'test/store'], why: 'signs the URLs of GETs; imported with the client'},
  {name: 'ava', importers: ['test'], why: 'the test runner'},
  {name: 'fast-check', importers: ['test/helpers/properties.ts'], why: 'properties over generated input, the same in each run'},
  {name: 'typescript', importers: ['tools/check-imports.ts'], why: 'its scanner finds the imports, so that no pattern of ours has to'},
  {name: 'cli-table3', importers: ['src/cli'], why: 'listings for people'},
  {name: 'croner', importers: ['src/config/schedule.ts'], why: 'the calendar of schedules, with its changes of the clock'},
  {name: 'commander', importers: ['src/cli'], why: 'command line; one folder declares it, help, manual and completion read it'},
  {
    name: 'ioredis',
    importers: ['src/store', 'test'],
    why: 'all state goes through the store, whose scripts are atomic; tests look behind it, and talk to a real Redis in an app',
  },
  {
    name: 'koffi',
    importers: ['src/core', 'src/nat', 'src/pager', 'src/edge/datagrams', 'src/edge/polling', 'src/edge/streams', 'test/nat'],
    why: 'system calls: in core/libc.ts, and where a call has a single user (libnftables, mappings, sockets of the edge, a listener in another namespace)',
  },
  {
    name: 'pino',
    importers: ['src/core/log.ts', 'src/pager/main.ts', 'test'],
    why: 'one place decides the form of the log; the pager logs to a descriptor that it was given',
  },
  {name: 'ws', importers: ['test/edge/http', 'test/e2e'], why: 'a WebSocket client and server that are not ours'},
  {
    name: 'playwright-core',
    importers: ['test/e2e/dashboard.test.ts', 'test/edge/http/wait-page.test.ts', 'test/helpers/accessibility.ts'],
    why: 'drives the Chromium of Debian through pages of ours',
  },
  {name: 'protobufjs', importers: ['src/pager', 'src/supervisor'], why: 'CRIU images and CRIU RPC'},
];

/** Node's own modules that only some may use; the others are free for all. */
export const builtinRules: readonly ModuleRule[] = [
  {
    name: 'node:child_process',
    importers: ['src/core/command.ts', 'test/helpers/gateway.ts'],
    why: 'one place starts programs: no shell, a deadline, death with the parent; tests start the gateway as a shell does',
  },
  {name: 'node:cluster', importers: [], why: 'processes are started by core/command.ts'},
  {name: 'node:vm', importers: [], why: 'nothing is evaluated'},
];
