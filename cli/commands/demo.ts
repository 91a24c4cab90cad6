import yargs from "yargs";
import { systemClock } from "../../shared/clock.ts";
import { UsageError } from "../../shared/errors.ts";
import { type ExitCode, reportStartFailure } from "../../shared/process.ts";
import { runDemo } from "../demo/demo.ts";
import { builtPrograms } from "../demo/programs.ts";
import { Screen } from "../demo/screen.ts";
import { readCommandLine } from "../yargs-command.ts";

const mebibyte = 1024 * 1024;
const sizeMax = 64 * 1024;
/** The last one comes when the terminal is closed. */
const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `hawser demo`: see runDemo. `argv` without the command. Never rejects. */
export async function demoCommand(argv: readonly string[]): Promise<ExitCode> {
  const interrupt = new AbortController();
  const onSignal = (name: NodeJS.Signals) => interrupt.abort(new Error(`ended by ${name}`));
  for (const name of endings) process.on(name, onSignal);
  try {
    const command = await readCommandLine(parser(), argv);
    if (command.kind === "help") {
      process.stdout.write(command.text);
      return 0;
    }
    const { size, stay } = command.options;
    if (!Number.isInteger(size) || size < 1 || size > sizeMax) {
      throw new UsageError(`--size must be a whole number of MiB from 1 to ${sizeMax}`);
    }
    const screen = new Screen(process.stdout, process.env, () => systemClock.now());
    const deps = { clock: systemClock, screen, programs: builtPrograms, signal: interrupt.signal };
    return await runDemo(deps, { sizeBytes: size * mebibyte, stay });
  } catch (error) {
    return reportStartFailure("hawser demo", error);
  } finally {
    for (const name of endings) process.off(name, onSignal);
  }
}

const parser = () =>
  yargs()
    .scriptName("hawser demo")
    .usage(
      "$0 [options]\n\nStarts a proxy server, two agents and an HTTPS endpoint on this machine, shows what they do together, and removes it all.",
    )
    .options({
      size: { type: "number", default: 256, describe: "MiB to transfer each way" },
      stay: { type: "boolean", default: false, describe: "Leave it running until Ctrl-C, and say how to use it" },
    })
    .strict()
    .demandCommand(0, 0, undefined, "hawser demo takes options only")
    .locale("en")
    .version(false)
    .fail(false);
