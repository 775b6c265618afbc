/** The environment of the process, as `setenv` and the like change it: for `env()` in expressions, and for programs that are started. */
import type {Config} from '../config/value.ts';

type Changes = Config['environment'];

/** What the process was started with; every configuration begins from it, also on a reload. */
export const givenEnvironment: Readonly<NodeJS.ProcessEnv> = {...process.env};

/** @param before the changes of the configuration that was in force, which are undone */
export function applyEnvironment(changes: Changes, before: Changes = {}): void {
  for (const name of Object.keys(before)) setVariable(name, givenEnvironment[name]);
  for (const [name, value] of Object.entries(changes)) setVariable(name, value);
}

function setVariable(name: string, value: string | null | undefined): void {
  if (value === null || value === undefined) delete process.env[name];
  else process.env[name] = value;
}
