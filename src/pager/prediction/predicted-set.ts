/**
 * Which pages an app is expected to touch soon after a wake (Picocenter's ActiveSet), per process and per kind of trigger, kept in the object
 * store beside its generations. Installed pages are not observed any more, so the only way to learn that one is no longer used is to withhold
 * it now and then: predicted-model.ts has what is known, predicted-plan.ts what is done with it, predicted-lesson.ts what is learned.
 */
import {errorMessage} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import {type Trigger, triggerKeys} from '../../core/trigger.ts';
import {type ObjectStore, ObjectStoreError} from '../../store/object-store.ts';
import {keysOf} from '../checkpoints/checkpoint-keys.ts';
import type {PageRun} from '../checkpoints/page-table.ts';
import {PlansAhead, type WakeToPlan} from './predicted-ahead.ts';
import {decodeModel, encodeModel} from './predicted-codec.ts';
import {type LearnedRun, learnRun} from './predicted-lesson.ts';
import {emptyModel, keepBounds, type Model, type ModelBounds} from './predicted-model.ts';
import {type PlanRules, type PrefetchPlan, planRules} from './predicted-plan.ts';

/** What is known of one app, in memory. Stays up to date while this process learns. */
export interface Prediction {
  /**
   * Plans ahead for whatever trigger may come, so that `plan()` with the same mode and tables takes no time.
   * @returns the pages of all these plans, by process
   */
  prepare(wake: WakeToPlan): Promise<ReadonlyMap<number, readonly PageRun[]>>;
  /** For the moment of a wake: without I/O, and quick. */
  plan(wake: WakeToPlan & {readonly trigger: Trigger}): PrefetchPlan;
}

export interface PredictedSets {
  /** @throws ObjectStoreError when the store cannot be read; what is missing or damaged is learned anew */
  load(app: AppName): Promise<Prediction>;
  /** Takes in what one run has shown; durable when it resolves. */
  learn(app: AppName, run: LearnedRun): Promise<void>;
  /** What is known now. The caller must not change it. */
  show(app: AppName): Promise<Model>;
}

export interface PredictedSetsOptions {
  readonly objects: ObjectStore;
  readonly log?: Log;
  /** In [0, 1); for tests. Default Math.random. */
  readonly random?: () => number;
  readonly rules?: PlanRules;
  readonly bounds?: ModelBounds;
}

/** 1 GiB of pages, which is some hundred KiB in the store. */
const boundsByDefault: ModelBounds = {maxPages: 262_144, maxTriggers: 16};

interface Holder {
  model: Model;
  readonly ahead: PlansAhead;
}

export function openPredictedSets(options: PredictedSetsOptions): PredictedSets {
  const {objects} = options;
  const tools = {random: options.random ?? Math.random, rules: options.rules ?? planRules};
  const holders = new Map<AppName, WeakRef<Holder>>();
  const turns = new Map<AppName, Promise<unknown>>();

  /** One reading or writing of an app after the other: what was just learned is what is loaded next. */
  const inTurn = async <T>(app: AppName, work: () => Promise<T>): Promise<T> => {
    const before = turns.get(app);
    const turn = (before ?? Promise.resolve()).then(work, work);
    turns.set(app, turn);
    try {
      return await turn;
    } finally {
      if (turns.get(app) === turn) turns.delete(app);
    }
  };
  const hold = (app: AppName, model: Model): Holder => {
    for (const [other, reference] of holders) if (reference.deref() === undefined) holders.delete(other);
    const holder = holders.get(app)?.deref() ?? {model, ahead: new PlansAhead(tools)};
    holder.model = model;
    holders.set(app, new WeakRef(holder));
    return holder;
  };
  return {
    async load(app) {
      const holder = await inTurn(app, async () => hold(app, await read(options, app)));
      return {
        async prepare(wake) {
          await holder.ahead.make(holder.model, wake);
          return holder.ahead.pages();
        },
        plan: ({mode, processes, trigger}) => holder.ahead.plan(holder.model, {mode, processes, keys: triggerKeys(trigger)}),
      };
    },
    learn: async (app, run) =>
      inTurn(app, async () => {
        // Not what is in memory: another worker may have learned since.
        const model = await read(options, app);
        learnRun(model, run);
        keepBounds(model, options.bounds ?? boundsByDefault);
        await objects.put(keysOf(app).predicted, encodeModel(model));
        await hold(app, model).ahead.again(model);
      }),
    show: async (app) => inTurn(app, async () => read(options, app)),
  };
}

/** Losing what was learned costs a slow wake or two, so damage is only worth a line. */
async function read({objects, log}: PredictedSetsOptions, app: AppName): Promise<Model> {
  const key = keysOf(app).predicted;
  try {
    return decodeModel(await objects.get(key));
  } catch (error) {
    if (error instanceof ObjectStoreError) {
      if (error.code !== 'ERR_NO_OBJECT') throw error;
      await forgetOld(objects, app, log);
    } else {
      log?.warn({app, object: key}, `Cannot use the predicted set, it is learned anew: ${errorMessage(error)}`);
    }
    return emptyModel();
  }
}

async function forgetOld(objects: ObjectStore, app: AppName, log: Log | undefined): Promise<void> {
  const key = keysOf(app).oldPredicted;
  if ((await objects.list(key)).length === 0) return;
  log?.info({app, object: key}, 'the predicted set is of an older format, it is learned anew');
  await objects.delete(key);
}
