import type {Pager} from '../pager/client.ts';
import type {Json} from '../store/json.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import type {AnsweredChecks} from './answered-checks.ts';
import {type AppFacts, explain as explainFacts, residenceOf} from './explanation.ts';
import {type DisplayOptions, display} from './listing.ts';
import {command} from './remote.ts';

const timeoutMs = 10_000;

interface ExplainSources {
  readonly pager: Pick<Pager, 'placement' | 'status'>;
  readonly answered: AnsweredChecks;
}

async function factsOf(supervisor: Pick<Supervisor, 'app'>, {pager, answered}: ExplainSources, name: string): Promise<AppFacts> {
  const app = supervisor.app(name);
  const [live, placement, {remote, apps}] = await Promise.all([app.live(), pager.placement(name), pager.status()]);
  const {state, rest, lastWake, lastHibernate} = app.status();
  const status = {state, rest, lastWake, lastHibernate};
  const {sinceAsleep: checksAnswered} = answered.of(name);
  return {name, nowMs: Date.now(), status, live, checksAnswered, placement, remote, paging: apps.find((one) => one.app === name) ?? null};
}

/** The gateway's side: the sentences, and what they were made of. @throws CodedError ERR_UNKNOWN_APP */
export async function explainApp(supervisor: Pick<Supervisor, 'app'>, sources: ExplainSources, name: string): Promise<Json> {
  const facts = await factsOf(supervisor, sources, name);
  const {status, live, checksAnswered, placement, remote, paging} = facts;
  const {awakeBecause, sleepsInMs, pinned, idle, compacting, nextWake, lastFailure, lastExit, restartsInMs, refusal, fallback} = live;
  return {
    name,
    state: status.state,
    residence: residenceOf(facts),
    generation: status.rest.kind === 'checkpoint' ? status.rest.generation : null,
    sentences: explainFacts(facts),
    awakeBecause,
    sleepsInMs,
    pinned,
    idle,
    compacting,
    nextWake,
    checksAnswered,
    lastFailure,
    lastExit,
    restartsInMs,
    refusal,
    fallback,
    upload: placement === null ? null : {...placement},
    paging: paging === null ? null : {...paging},
    store: remote === null ? null : {place: remote.place, outage: remote.outage === null ? null : {...remote.outage}},
  };
}

function sentencesOf(answer: Json): readonly string[] {
  const found: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'sentences') : undefined;
  return Array.isArray(found) ? found.map(String) : [];
}

/** Says in plain sentences what an app does now, and why. @returns the exit status */
export async function explain(files: readonly string[] | undefined, name: string, options: DisplayOptions): Promise<number> {
  return display(options, async () => {
    const answer = await command(files, 'explain', {name}, timeoutMs);
    return {json: answer, text: () => `${sentencesOf(answer).join('\n')}\n`};
  });
}
