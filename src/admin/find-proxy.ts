/** Names in commands to what they name, refused in HAProxy's words. */
import {refuse} from './command.ts';
import type {BackendControl, FrontendControl, GatewayControl, ServerControl} from './gateway-control.ts';

/** @throws CommandRefusal */
export function findFrontend(control: GatewayControl, name: string | undefined): FrontendControl {
  if (name === undefined) return refuse('A frontend name is expected.\n');
  for (const frontend of control.frontends()) if (frontend.name === name) return frontend;
  return refuse('No such frontend.\n');
}

export function findBackend(control: GatewayControl, name: string): BackendControl | null {
  for (const backend of control.backends()) if (backend.name === name) return backend;
  return null;
}

/** @param path `backend/server`. @throws CommandRefusal */
export function findServer(control: GatewayControl, path: string | undefined): {readonly backend: BackendControl; readonly server: ServerControl} {
  const {backendName, serverName} = splitServerPath(path);
  const backend = findBackend(control, backendName) ?? refuse('No such backend.\n');
  for (const server of backend.servers()) if (server.name === serverName) return {backend, server};
  return refuse('No such server.\n');
}

/** @throws CommandRefusal */
export function splitServerPath(path = ''): {readonly backendName: string; readonly serverName: string} {
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1) return refuse("Require 'backend/server'.\n");
  return {backendName: path.slice(0, slash), serverName: path.slice(slash + 1)};
}

/** @throws CommandRefusal with `message` */
export function wholeNumber(text: string | undefined, message: string): number {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : refuse(message);
}

/** Perhaps 0. @throws CommandRefusal */
export function portNumber(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) return refuse('provided port is not an integer');
  return Number(text) < 0 || Number(text) > 65_535 ? refuse('provided port is invalid') : Number(text);
}
