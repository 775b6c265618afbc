/** Persistence by stick tables: `stick match`, `stick store-request`, `stick on` and `stick store-response` of a backend. */
import type {StickRule} from '../../config/proxy-value.ts';
import type {Condition, SampleExpression} from '../../config/sample.ts';
import {assert} from '../../core/errors.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import {stickKey} from './stick-key.ts';
import type {StickTable} from './stick-table.ts';

/** The part of the evaluator of expressions that is needed here. */
export interface StickEvaluator {
  compileCondition(condition: Condition): (context: SampleContext) => boolean;
  compileExpression(expression: SampleExpression): (context: SampleContext) => SampleValue;
}

/** What a session remembers between the choice of its server and the moment when that is stored. */
export interface PendingStores {
  readonly stores: {readonly table: StickTable; readonly key: string}[];
}

export interface StickRules {
  /**
   * Judges a request.
   * @returns the number of the server that a table knows for it, or null; and the keys to store that server's number under
   */
  request(context: SampleContext): {readonly serverId: number | null} & PendingStores;
  /** Stores the number of the server that serves the session. Called once it has answered, as far as that is waited for. */
  stored(pending: PendingStores, serverId: number): void;
  /** Judges an answer, and stores at once: in each table under the key of the first rule that has one. */
  response(context: SampleContext, serverId: number): void;
}

interface CompiledRule {
  readonly kind: StickRule['kind'];
  readonly table: StickTable;
  key(context: SampleContext): string | null;
}

/** @param tableOf the table of that name; null: that of the backend itself */
export function compileStickRules(rules: readonly StickRule[], tableOf: (name: string | null) => StickTable | null, evaluator: StickEvaluator): StickRules {
  const compiled = rules.map((rule) => compileRule(rule, tableOf(rule.table), evaluator));
  const requestRules = compiled.filter(({kind}) => kind !== 'store-response');
  const responseRules = compiled.filter(({kind}) => kind === 'store-response');
  return {
    request(context) {
      let serverId: number | null = null;
      const stores: {table: StickTable; key: string}[] = [];
      for (const rule of requestRules) {
        const key = rule.key(context);
        if (key === null) continue;
        if (rule.kind !== 'store-request') serverId ??= knownServer(rule.table, key);
        if (rule.kind !== 'match' && !stores.some(({table}) => table === rule.table)) stores.push({table: rule.table, key});
      }
      return {serverId, stores};
    },
    stored({stores}, serverId) {
      for (const {table, key} of stores) store(table, key, serverId);
    },
    response(context, serverId) {
      const done = new Set<StickTable>();
      for (const rule of responseRules) {
        const key = done.has(rule.table) ? null : rule.key(context);
        if (key === null) continue;
        store(rule.table, key, serverId);
        done.add(rule.table);
      }
    },
  };
}

function compileRule(rule: StickRule, table: StickTable | null, evaluator: StickEvaluator): CompiledRule {
  assert(table !== null, `Rule "stick ${rule.kind} ${rule.expression.text}" has no table`);
  const holds = rule.condition === null ? null : evaluator.compileCondition(rule.condition);
  const sample = evaluator.compileExpression(rule.expression);
  return {
    kind: rule.kind,
    table,
    key: (context) => (holds === null || holds(context) ? stickKey(table.config, sample(context)) : null),
  };
}

function knownServer(table: StickTable, key: string): number | null {
  const entry = table.find(key);
  if (entry === null) return null;
  table.touch(entry);
  const serverId = table.read(entry, 'server_id');
  return serverId === 0 ? null : serverId;
}

function store(table: StickTable, key: string, serverId: number): void {
  const entry = table.use(key);
  if (entry !== null) table.set(entry, 'server_id', serverId);
}
