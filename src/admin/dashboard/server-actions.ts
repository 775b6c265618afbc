/** What can be done with a server on the dashboard: the choices of HAProxy's page (`stats admin`). */
import type {ServerControl} from '../gateway-control.ts';

export const serverActions: ReadonlyMap<string, (server: ServerControl) => void> = new Map([
  ['server-ready', (server) => server.setAdministrative('ready')],
  ['server-drain', (server) => server.setAdministrative('drain')],
  ['server-maint', (server) => server.setAdministrative('maint')],
  ['server-up', (server) => server.setHealth('up')],
  ['server-stopping', (server) => server.setHealth('stopping')],
  ['server-down', (server) => server.setHealth('down')],
  ['server-check', (server) => server.enableChecks(true)],
  ['server-nocheck', (server) => server.enableChecks(false)],
  ['server-shutdown', (server) => server.shutdownSessions()],
]);
