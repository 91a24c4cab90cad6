import { systemClock } from "../shared/clock.ts";
import { agentAdminRoutes, agentHealthRoutes } from "../shared/http/health-routes.ts";
import type { ExitCode } from "../shared/process.ts";
import { runProgram } from "../shared/program.ts";
import { version } from "../shared/version.ts";
import { ProxyAgent } from "./agent.ts";
import { AgentMetrics } from "./metrics.ts";
import { type AgentOptions, parseAgentOptions } from "./options.ts";

/** Runs a proxy agent until a signal ends it. `argv` without the program's name. Never rejects. */
export function main(argv: readonly string[]): Promise<ExitCode> {
  return runProgram<AgentOptions>({
    name: "proxy-agent",
    portFlags: { health: "--health-server-port", admin: "--admin-server-port" },
    parse: () => parseAgentOptions(argv, process.env),
    open(options, deps) {
      const metrics = new AgentMetrics({ version });
      const agent = new ProxyAgent({ clock: systemClock, random: Math.random, metrics, ...deps }, options);
      return {
        registry: metrics.registry,
        healthRoutes: agentHealthRoutes({ ready: () => agent.ready, registry: metrics.registry }),
        adminRoutes: agentAdminRoutes({ healthPort: options.health.port }),
        start: () => agent.start(),
        async stop(how) {
          await agent.drain(how);
          await agent.stop();
        },
      };
    },
    hurriedExitCode: 0,
  });
}
