import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../shared/clock.ts";
import { UsageError } from "../../shared/errors.ts";
import type { ExitCode } from "../../shared/process.ts";
import { version } from "../../shared/version.ts";
import { issueDemoCertificates } from "./certificates.ts";
import type { Programs } from "./programs.ts";
import { durationText, type Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { stay } from "./stay.ts";
import { agentLoss } from "./steps/agent-loss.ts";
import { bulk } from "./steps/bulk.ts";
import { crowd } from "./steps/crowd.ts";
import { nothingLeft } from "./steps/nothing-left.ts";
import { refusal } from "./steps/refusal.ts";
import { setUp } from "./steps/set-up.ts";
import { verifiedRequest } from "./steps/verified-request.ts";
import { Story, StoryEnded } from "./story.ts";
import { agentIds, Tunnel } from "./tunnel.ts";

export interface DemoOptions {
  /** What is transferred each way. */
  readonly sizeBytes: number;
  /** Leave the tunnel running at the end, until the signal. */
  readonly stay: boolean;
}

export interface DemoDeps {
  readonly clock: Clock;
  readonly screen: Screen;
  readonly programs: Programs;
  /** Ends the demo early. */
  readonly signal: AbortSignal;
}

const shownLogLines = 12;
/** The first line of a log holds all flags. */
const shownLogColumns = 240;

/**
 * Runs the whole demo and tells on the screen how it goes. Resolves to 0 if every step came out right, also if a tunnel that
 * stays was ended by the signal, else to 1. Whatever happens, no process and no file is left. Throws a UsageError if there is no place
 * for its files.
 */
export async function runDemo(deps: DemoDeps, options: DemoOptions): Promise<ExitCode> {
  const folder = makeFolder();
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  // For an exit that nobody expected; otherwise it is gone by then.
  process.on("exit", removeFolder);
  try {
    const certificates = await issueDemoCertificates(folder, agentIds);
    const tunnel = new Tunnel({ programs: deps.programs, folder, certificates });
    try {
      return await tellAll(deps, options, tunnel);
    } finally {
      await tunnel.stop();
    }
  } finally {
    removeFolder();
    process.off("exit", removeFolder);
  }
}

function makeFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), "hawser-demo-"));
  } catch (cause) {
    throw new UsageError(`no temporary folder: ${(cause as Error).message}; TMPDIR names another place`, { cause });
  }
}

async function tellAll(deps: DemoDeps, options: DemoOptions, tunnel: Tunnel): Promise<ExitCode> {
  const { screen, clock, signal } = deps;
  const story = new Story(deps);
  const stage: Stage = { clock, screen, story, tunnel, sizeBytes: options.sizeBytes };
  const startedAt = clock.now();
  introduce(screen);
  try {
    await setUp(stage, options.stay ? "tcp" : "uds");
    await verifiedRequest(stage);
    await bulk(stage);
    await crowd(stage);
    await refusal(stage);
    await agentLoss(stage);
    await nothingLeft(stage);
    screen.heading(`Everything came out right, in ${durationText(clock.now() - startedAt)}.`);
    if (!options.stay) return 0;
    await stay(stage, { signal });
    screen.heading("Stopping everything that was started.");
    return 0;
  } catch (error) {
    if (signal.aborted) {
      screen.heading("Interrupted. Stopping everything that was started.");
      return 1;
    }
    if (!(error instanceof StoryEnded)) throw error;
    showLogs(screen, tunnel);
    screen.heading(`The demo failed at "${error.message}".`);
    return 1;
  }
}

function introduce(screen: Screen): void {
  screen.line(`Hawser ${version}: connections into a network that cannot be called.`);
  screen.line();
  screen.line("    kube-apiserver ───► proxy server ◄─────── agent-1, agent-2 ───► kubelet");
  screen.line("    (this process)      control plane         node network");
  screen.line();
  screen.line("The agents call the server, by mTLS. Through these calls kube-apiserver reaches");
  screen.line("the kubelet, and checks the kubelet's certificate as if nothing stood between.");
}

function showLogs(screen: Screen, tunnel: Tunnel): void {
  for (const { name, lines } of tunnel.logs(shownLogLines)) {
    if (lines.length === 0) continue;
    screen.heading(`Last log lines of ${name}`);
    for (const line of lines) screen.line(`  ${line.slice(0, shownLogColumns)}`);
  }
}
