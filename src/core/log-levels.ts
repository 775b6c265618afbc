/** How much the gateway's own log says, from much to nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
