import { systemClock } from "./clock.ts";
import { type HttpRoutes, startHttpListener } from "./http/listener.ts";
import { Profiler } from "./http/profiler.ts";
import { profilingRoutes } from "./http/profiling-routes.ts";
import type { KubernetesClient } from "./kubernetes/client.ts";
import { type KubernetesOptions, openKubernetesApi } from "./kubernetes/open-api.ts";
import { type Log, type LogOptions, openLog } from "./log.ts";
import { addLinuxProcessMetrics } from "./metrics/linux-process.ts";
import { addProcessMetrics, type Registry } from "./metrics/registry.ts";
import { type ExitCode, reportStartFailure, watchDefects, watchSignals } from "./process.ts";
import { prepareRuntime } from "./runtime.ts";
import { version } from "./version.ts";

/** What every half's options hold. */
export interface ProgramOptions {
  readonly log: LogOptions;
  readonly notices: readonly string[];
  readonly flagValues: readonly (readonly [string, string])[];
  readonly kubernetes: KubernetesOptions | undefined;
  readonly health: { readonly host: string; readonly port: number };
  readonly admin: { readonly host: string; readonly port: number };
  readonly profiling: boolean;
}

export type ProgramCommand<Options> =
  | { readonly kind: "run"; readonly options: Options }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" };

/** One half at work. */
export interface Service {
  /** Its metrics; those of the process come in addition. */
  readonly registry: Registry;
  readonly healthRoutes: HttpRoutes;
  /** Without those of profiles. */
  readonly adminRoutes: HttpRoutes;
  /** Where it is more than this process: the pages of profiles, made of those of this process. */
  profiles?(own: HttpRoutes): HttpRoutes;
  /** Resolves if it has failed for good, with what to tell; the program ends then. */
  readonly failed?: Promise<string>;
  /** Rejects with a UsageError if it cannot. */
  start(): void | Promise<void>;
  /** Lets what runs finish, then ends everything. `hurry` cuts that short: the second signal. */
  stop(options: { readonly hurry: AbortSignal }): Promise<void>;
}

export interface ServiceDeps {
  readonly log: Log;
  /** There whenever `options.kubernetes` is. */
  readonly kubernetes: KubernetesClient | undefined;
}

export interface Program<Options extends ProgramOptions> {
  readonly name: string;
  /** That the ports of its pages are asked for by. */
  readonly portFlags: { readonly health: string; readonly admin: string };
  parse(): ProgramCommand<Options>;
  open(options: Options, deps: ServiceDeps): Service | Promise<Service>;
  /** Exit code after a stop that a second signal cut short. */
  readonly hurriedExitCode: ExitCode;
}

/** Runs one half until a signal ends it; answers --help and --version. Never rejects: what fails is one line and exit code 1. */
export async function runProgram<Options extends ProgramOptions>(program: Program<Options>): Promise<ExitCode> {
  try {
    const command = program.parse();
    if (command.kind === "run") return await run(program, command.options);
    process.stdout.write(command.kind === "version" ? `${program.name} ${version}\n` : command.text);
    return 0;
  } catch (error) {
    return reportStartFailure(program.name, error);
  }
}

async function run<Options extends ProgramOptions>(program: Program<Options>, options: Options): Promise<ExitCode> {
  const log = openLog(options.log);
  prepareRuntime();
  const defect = watchDefects(log).then(() => undefined);
  log.info({ version, node: process.version, flags: Object.fromEntries(options.flagValues) }, `${program.name} starts`);
  for (const notice of options.notices) log.warn(notice);
  const kubernetes = options.kubernetes && (await openKubernetesApi({ clock: systemClock, log }, options.kubernetes));
  const service = await program.open(options, { log, kubernetes });
  addProcessMetrics(service.registry);
  addLinuxProcessMetrics(service.registry);
  const profiles = options.profiling ? profilesOf(service, log) : [];
  const adminRoutes = new Map([...service.adminRoutes, ...profiles]);
  const signals = watchSignals();
  const pages = [
    await startHttpListener({ label: program.portFlags.health, ...options.health, routes: service.healthRoutes, log }),
    await startHttpListener({ label: program.portFlags.admin, ...options.admin, routes: adminRoutes, log }),
  ];
  await service.start();
  const hurry = new AbortController();
  void signals.second.then(() => hurry.abort());
  const failed = service.failed?.then((reason) => log.fatal({ reason }, "the program ends")).then(() => undefined);
  const signal = await Promise.race([signals.first, defect, ...(failed === undefined ? [] : [failed])]);
  if (signal === undefined) return 1;
  log.info({ signal }, "shutting down");
  await service.stop({ hurry: hurry.signal });
  signals.stop();
  kubernetes?.close();
  await Promise.all(pages.map((page) => page.close()));
  return hurry.signal.aborted ? program.hurriedExitCode : 0;
}

function profilesOf(service: Service, log: Log): HttpRoutes {
  const own = profilingRoutes({ profiler: new Profiler({ clock: systemClock }), log });
  return service.profiles?.(own) ?? own;
}
