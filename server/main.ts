import type { ExitCode } from "../shared/process.ts";
import { runProgram } from "../shared/program.ts";
import { parseServerOptions, type ServerOptions } from "./options.ts";
import { openService } from "./service.ts";

/** Runs a proxy server until a signal ends it. `argv` without the program's name. Never rejects. */
export function main(argv: readonly string[]): Promise<ExitCode> {
  return runProgram<ServerOptions>({
    name: "proxy-server",
    portFlags: { health: "--health-port", admin: "--admin-port" },
    parse: () => parseServerOptions(argv, process.env),
    async open(options, deps) {
      if (options.workers === 1) return openService(options, deps);
      // A server that is one process has nothing to do with it.
      const { openPrimary } = await import("./workers/primary.ts");
      return openPrimary(options, deps);
    },
    hurriedExitCode: 1,
  });
}
