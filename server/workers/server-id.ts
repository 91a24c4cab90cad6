/** What agents, leases and logs call a worker: the same name again after it died, so that no lease of a dead one is left. */
export const serverIdOf = (serverId: string, worker: number, workers: number): string =>
  workers === 1 ? serverId : `${serverId}-w${worker}`;
