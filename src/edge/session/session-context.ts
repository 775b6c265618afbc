/** What expressions find out about a connection before there is a request, and about a stream that is none of HTTP. */
import type {SessionRecord} from '../logs/session-record.ts';
import type {ConnectionFacts, SampleContext, Surroundings, Variables} from '../samples/context.ts';
import {createVariables, type ScopedVariables} from '../samples/variables.ts';
import {Tracking} from '../stick/tracking.ts';

const noBytes = new Uint8Array();

export interface ContextParts {
  readonly processVariables: Variables;
  /** What holds for all sessions; what one session tracks is added here. */
  readonly surroundings: Surroundings;
}

export class SessionContext implements SampleContext, Disposable {
  readonly connection: ConnectionFacts;
  readonly request = null;
  readonly response = null;
  payload: Uint8Array = noBytes;
  responsePayload: Uint8Array = noBytes;
  inspectionEnded = false;
  undecided = false;
  backend: string | null = null;
  server: string | null = null;
  record: SessionRecord | null = null;
  readonly captures: (string | null)[] = [];
  readonly #parts: ContextParts;
  #variables: ScopedVariables | null = null;
  #surroundings: Surroundings | null = null;
  #tracking: Tracking | null = null;

  constructor(connection: ConnectionFacts, parts: ContextParts) {
    this.connection = connection;
    this.#parts = parts;
  }

  get variables(): ScopedVariables {
    this.#variables ??= createVariables(this.#parts.processVariables);
    return this.#variables;
  }

  get tracking(): Tracking {
    this.#tracking ??= new Tracking();
    return this.#tracking;
  }

  /** Whether any rule has asked for an entry to be tracked. */
  get isTracked(): boolean {
    return this.#tracking !== null;
  }

  get surroundings(): Surroundings {
    this.#surroundings ??= this.#ownSurroundings();
    return this.#surroundings;
  }

  #ownSurroundings(): Surroundings {
    const {surroundings} = this.#parts;
    const here = (backend: string): string => (backend === '' ? (this.backend ?? '') : backend);
    const {name} = this.connection.frontend;
    return {
      ...surroundings,
      usableServers: (backend) => surroundings.usableServers(here(backend)),
      isServerUp: (backend, server) => surroundings.isServerUp(here(backend), server),
      backendLoad: (backend) => surroundings.backendLoad(here(backend)),
      serverLoad: (backend, server) => surroundings.serverLoad(here(backend), server),
      frontendLoad: (frontend) => surroundings.frontendLoad(frontend === '' ? name : frontend),
      tableValue: (table, key, what) => surroundings.tableValue(table === '' ? (this.backend ?? name) : table, key, what),
      tagTracked: (counter, what, value) => this.#tracking?.set(counter, what, value) === true,
      trackedValue: (counter, what) => this.#tracking?.value(counter, what) ?? null,
    };
  }

  /** The session is over: what it tracked is let go. */
  [Symbol.dispose](): void {
    this.#tracking?.[Symbol.dispose]();
    this.#tracking = null;
  }
}
