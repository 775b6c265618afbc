/** Servers of a backend, with what `default-server` lines say before them. */

import {isServiceName, parseTarget} from './address.ts';
import type {TlsDefaults} from './build-global.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {AgentCheck, CheckSchedule, HealthCheck, PassiveChecks} from './health.ts';
import type {Position} from './position.ts';
import {bareServer} from './proxy-defaults.ts';
import type {ProxyMode, ServerConfig} from './proxy-value.ts';
import {type AnySetting, effective, type Section} from './section.ts';
import {emptyServer, type ServerDraft} from './server-draft.ts';
import type {ServerStatement} from './server-shape.ts';
import type {Placed} from './shapes.ts';
import type {TlsServer} from './tls.ts';
import {versionRange} from './tls-options.ts';

export interface ServerDrafts {
  readonly servers: readonly ServerConfig[];
  /** Of each server's address. */
  readonly targetPositions: readonly Position[];
  /** Which of the servers' names are looked up when the configuration is checked. */
  readonly lookedUp: readonly boolean[];
}

export interface ServerContext {
  /** Of their backend. */
  readonly check: HealthCheck;
  readonly tls: TlsDefaults;
  readonly report: (diagnostic: Diagnostic) => void;
}

export function buildServers(section: Section, context: ServerContext): ServerDrafts {
  let defaults = inheritedServer(section.defaults);
  const mode = effective(section, 'mode')?.value ?? 'tcp';
  const built: {server: ServerConfig; position: Position; lookUp: boolean}[] = [];
  for (const setting of section.settings) {
    defaults = withDefaultServer(defaults, setting);
    if (setting.name === 'default-server') checkObserved(setting.value, mode, context);
    for (const statement of statementsOf(setting, context)) {
      const draft = merge(defaults, statement.settings);
      checkService(statement, draft, context);
      checkObserved(statement.settings, mode, context);
      if (draft.check !== true) warnUnchecked(statement, context);
      built.push({
        server: buildServer(statement, draft, context),
        position: statement.targetPosition,
        lookUp: draft.lookUp !== false && draft.resolvers === undefined,
      });
    }
  }
  return {
    servers: built.map(({server}) => server),
    targetPositions: built.map(({position}) => position),
    lookedUp: built.map(({lookUp}) => lookUp),
  };
}

function statementsOf(setting: AnySetting, {report}: ServerContext): readonly ServerStatement[] {
  switch (setting.name) {
    case 'server':
      return [setting.value];
    case 'server-template':
      return setting.value;
    case 'dispatch': {
      const {position, value} = setting;
      const target = parseTarget(value);
      if (target.ok) return [{name: {text: 'dispatch', position}, target: target.value, targetPosition: position, settings: emptyServer()}];
      report({level: 'alert', position, word: value, message: `invalid value '${value}' for 'dispatch': ${target.reason}`});
      return [];
    }
    default:
      return [];
  }
}

/** Nothing else finds a service. With `init-addr none` HAProxy takes a server that is never found. */
function checkService({target, targetPosition}: ServerStatement, draft: ServerDraft, {report}: ServerContext): void {
  if (target.kind !== 'address' || !isServiceName(target.host) || draft.resolvers !== undefined || draft.lookUp === false) return;
  const message = `missing 'resolvers' for '${target.host}': only they find a service, or its port is missing`;
  report({level: 'alert', position: targetPosition, word: target.host, message});
}

/** Only where the section says it itself: in defaults for both modes it is legal, and of mode tcp connections are all that is seen. */
function checkObserved({passive: {observe}}: ServerDraft, mode: ProxyMode, {report}: ServerContext): void {
  if (observe?.what !== 'layer7' || mode === 'http') return;
  report({level: 'alert', position: observe.position, word: 'layer7', message: `'observe layer7' can only be used in mode http, and this is mode ${mode}`});
}

function warnUnchecked({name, settings: {passive}}: ServerStatement, {report}: ServerContext): void {
  const {observe} = passive;
  if (observe === undefined || observe.what === 'none') return;
  const message = `'observe' has no effect on server '${name.text}', which has no 'check'`;
  report({level: 'warning', position: observe.position, word: observe.what, message});
}

function inheritedServer(section: Section | null): ServerDraft {
  return section === null ? emptyServer() : section.settings.reduce(withDefaultServer, inheritedServer(section.defaults));
}

function withDefaultServer(defaults: ServerDraft, setting: AnySetting): ServerDraft {
  return setting.name === 'default-server' ? merge(defaults, setting.value) : defaults;
}

function merge(before: ServerDraft, after: ServerDraft): ServerDraft {
  const {versions} = after.tls;
  return {
    ...before,
    ...after,
    schedule: {...before.schedule, ...after.schedule},
    passive: {...before.passive, ...after.passive},
    agent: {...before.agent, ...after.agent},
    tls: {
      ...before.tls,
      ...after.tls,
      versions: {...before.tls.versions, ...versions, refused: new Set([...before.tls.versions.refused, ...versions.refused])},
    },
  };
}

function buildServer({name, target}: ServerStatement, draft: ServerDraft, context: ServerContext): ServerConfig {
  const bare = bareServer({name: name.text, target, position: name.position});
  return {
    ...bare,
    maxqueue: draft.maxqueue === undefined ? bare.maxqueue : draft.maxqueue,
    maxconn: draft.maxconn ?? null,
    minconn: draft.minconn ?? null,
    weight: draft.weight ?? bare.weight,
    backup: draft.backup ?? false,
    disabled: draft.disabled ?? false,
    cookie: draft.cookie ?? null,
    check: draft.check === true ? buildSchedule(name, draft, context) : null,
    observe: buildPassive(draft),
    agent: draft.agentCheck === true ? buildAgent(name, draft, context) : null,
    track: draft.track ?? null,
    slowStartMs: draft.slowStartMs ?? null,
    onMarkedDown: draft.onMarkedDown ?? bare.onMarkedDown,
    onMarkedUp: draft.onMarkedUp ?? bare.onMarkedUp,
    sendProxy: draft.sendProxy ?? null,
    proxyV2Options: draft.proxyV2Options ?? [],
    tls: draft.ssl === true ? buildTls(name, draft, context) : null,
    sni: draft.sni ?? null,
    proto: draft.proto ?? null,
    source: draft.source ?? null,
    resolvers: draft.resolvers ?? null,
    initialAddress: draft.initialAddress ?? bare.initialAddress,
    keepsAddress: draft.keepsAddress ?? bare.keepsAddress,
    resolvePrefer: draft.resolvePrefer ?? null,
    redirectPrefix: draft.redirectPrefix ?? null,
    nonStick: draft.nonStick ?? false,
  };
}

/** HAProxy's: every 2 s, two successes, three failures. A check that goes to the server itself goes as its traffic does. */
function buildSchedule(name: Placed, draft: ServerDraft, context: ServerContext): CheckSchedule {
  const {schedule, ssl, sendProxy, checkProto} = draft;
  const {check, report} = context;
  if (checkProto !== undefined && (checkProto === 'h1') !== (check.kind === 'http')) {
    const message = `server '${name.text}': 'check-proto ${checkProto}' is incompatible with the selected check type`;
    report({level: 'alert', position: name.position, word: name.text, message});
  }
  const elsewhere = schedule.port !== undefined || schedule.address !== undefined;
  const tls = schedule.tls ?? (ssl === true && !elsewhere);
  return {
    intervalMs: schedule.intervalMs ?? 2000,
    fastIntervalMs: schedule.fastIntervalMs ?? null,
    downIntervalMs: schedule.downIntervalMs ?? null,
    rise: schedule.rise ?? 2,
    fall: schedule.fall ?? 3,
    address: schedule.address ?? null,
    port: schedule.port ?? null,
    tls,
    sendProxy: schedule.sendProxy ?? ((sendProxy ?? null) !== null && !elsewhere),
    sni: schedule.sni ?? null,
    alpn: schedule.alpn ?? null,
    tlsClient: ssl !== true && (tls || connectsWithTls(check)) ? buildTls(name, draft, context) : null,
  };
}

/** HAProxy's: ten errors, which are a failed check. */
function buildPassive({passive: {observe, errorLimit, onError}}: ServerDraft): PassiveChecks | null {
  if (observe === undefined || observe.what === 'none') return null;
  return {layer: observe.what, errorLimit: errorLimit ?? 10, onError: onError ?? 'fail-check'};
}

/** HAProxy's: every 2 s, whatever `inter` says; `addr` and `port` are the agent's where it has none of its own. */
function buildAgent({text, position}: Placed, {agent, schedule}: ServerDraft, {report}: ServerContext): AgentCheck | null {
  const port = agent.port ?? schedule.port ?? null;
  if (port === null) {
    report({level: 'alert', position, word: text, message: `server '${text}' has 'agent-check', but no 'agent-port'`});
    return null;
  }
  return {address: agent.address ?? schedule.address ?? null, port, intervalMs: agent.intervalMs ?? 2000, send: agent.send ?? ''};
}

function connectsWithTls(check: HealthCheck): boolean {
  const steps = check.kind === 'http' ? check.exchanges.map(({connect}) => connect) : check.kind === 'tcp' ? check.steps : [];
  return steps.some((step) => step?.kind === 'connect' && step.tls);
}

function buildTls(name: Placed, {tls, verifyHost, certificate}: ServerDraft, context: ServerContext): TlsServer {
  const {tls: defaults, report} = context;
  const said = tls.verify ?? defaults.server.verify;
  const verify = said === 'none' ? 'none' : 'required';
  if (verify === 'required' && tls.caFile === undefined) {
    const message =
      `server '${name.text}': verify is enabled by default but no CA file specified; ` +
      "set 'ca-file', for example to @system-ca, or 'verify none' where you are certain to trust the network";
    report({level: 'alert', position: name.position, word: name.text, message});
  }
  return {
    ...versionRange(tls, defaults.server),
    verify,
    caFile: tls.caFile ?? null,
    crlFile: tls.crlFile ?? null,
    verifyHost: verifyHost ?? null,
    certificate: certificate ?? null,
    alpn: tls.alpn ?? [],
    ciphers: tls.ciphers ?? defaults.server.ciphers ?? null,
    ciphersuites: tls.ciphersuites ?? defaults.server.ciphersuites ?? null,
  };
}
