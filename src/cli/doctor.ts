import {errorMessage} from '../core/errors.ts';
import type {Check, Finding} from './doctor/finding.ts';
import {kernelChecks} from './doctor/kernel-checks.ts';
import {programChecks} from './doctor/program-checks.ts';
import {systemChecks} from './doctor/system-checks.ts';
import {csvLine} from './listing.ts';
import {styled} from './terminal.ts';

export interface DoctorOptions {
  readonly json: boolean;
  readonly csv: boolean;
  /** The path of CRIU that the configuration names. */
  readonly criu?: string | null;
}

/**
 * Checks what this machine offers and prints what was found, and what each missing thing costs.
 * @returns the exit status: 0, with or without warnings; 1 when something that is needed is missing
 */
export async function doctor({json, csv, criu = null}: DoctorOptions): Promise<number> {
  const checks = [...systemChecks, ...kernelChecks, ...programChecks(criu)];
  const findings = await Promise.all(checks.map(examine));
  process.stdout.write(json ? `${JSON.stringify(findings, null, 2)}\n` : csv ? inCsv(findings) : render(findings));
  return findings.some(({status}) => status === 'missing') ? 1 : 0;
}

/** Runs one check. What only root can find out is a warning for others: the check for root is what fails then. */
export async function examine(check: Check): Promise<Finding> {
  const {name, needed, cost} = check;
  if (check.asRoot && process.getuid?.() !== 0) return {name, status: 'warning', found: 'not checked', cost: 'only root can find out'};
  try {
    const {found, drawback} = await check.probe();
    return {name, status: drawback === undefined ? 'ok' : 'warning', found, cost: drawback ?? null};
  } catch (error) {
    return {name, status: needed ? 'missing' : 'warning', found: errorMessage(error), cost};
  }
}

function inCsv(findings: readonly Finding[]): string {
  return [['status', 'name', 'found', 'cost'], ...findings.map(({status, name, found, cost}) => [status, name, found, cost])].map(csvLine).join('');
}

const colors = {ok: 'green', warning: 'yellow', missing: 'red'} as const;

export function render(findings: readonly Finding[]): string {
  const nameWidth = Math.max(...findings.map(({name}) => name.length));
  const lines = findings.flatMap(({name, status, found, cost}) => {
    const line = `${styled(status.padEnd(7), colors[status])}  ${name.padEnd(nameWidth)}  ${found}`;
    return cost === null ? [line] : [line, `${''.padEnd(nameWidth + 11)}-> ${cost}`];
  });
  const count = (status: Finding['status']): number => findings.filter((finding) => finding.status === status).length;
  return `${lines.join('\n')}\n${count('missing')} missing, ${count('warning')} warnings, ${count('ok')} ok\n`;
}
