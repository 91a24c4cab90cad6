import type { ServerOptions } from "../options.ts";
import { serverIdOf } from "./server-id.ts";

/**
 * What one worker of `options.workers` runs with: an id of its own, and its share, rounded up, of what all may have together. What is
 * told of links is not shared out, since every agent links to every worker.
 */
export function workerOptions(options: ServerOptions, worker: number): ServerOptions {
  const { workers, limits, kubernetes, leases } = options;
  const serverId = serverIdOf(options.serverId, worker, workers);
  const share = (whole: number) => Math.ceil(whole / workers);
  return {
    ...options,
    serverId,
    serverCount: options.serverCount * workers,
    frontends: options.frontends.map(({ mode, listen }) => ({
      mode,
      // The primary has removed it, and one that is there now is in use.
      listen: listen.kind === "uds" ? { ...listen, deleteExisting: false } : listen,
    })),
    limits: {
      ...limits,
      frontendConnectionsMax: share(limits.frontendConnectionsMax),
      pendingDialsMax: share(limits.pendingDialsMax),
      agentConnectionsMax: share(limits.agentConnectionsMax),
      heldBytesMax: share(limits.heldBytesMax),
    },
    kubernetes: kubernetes && { ...kubernetes, qps: kubernetes.qps / workers, burst: share(kubernetes.burst) },
    leases: leases && { ...leases, serverId },
  };
}
