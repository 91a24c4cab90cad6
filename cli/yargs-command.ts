import type { Argv } from "yargs";
import { UsageError } from "../shared/errors.ts";

type Parsed<Options> = Awaited<ReturnType<Argv<Options>["parseAsync"]>>;

export type CommandLine<Options> =
  | { readonly kind: "run"; readonly options: Parsed<Options> }
  | { readonly kind: "help"; readonly text: string };

/** Reads a command's options, or gives the text that `--help` asks for. Everything that yargs finds wrong is a UsageError of one line. */
export async function readCommandLine<Options>(
  parser: Argv<Options>,
  argv: readonly string[],
): Promise<CommandLine<Options>> {
  let text = "";
  try {
    // The callback keeps yargs from writing to the console by itself.
    const options = (await parser.parseAsync([...argv], {}, (_error, _args, output) => {
      text = output;
    })) as Parsed<Options>;
    return text === "" ? { kind: "run", options } : { kind: "help", text: `${text}\n` };
  } catch (error) {
    const [line = ""] = (error as Error).message.split("\n");
    throw new UsageError(`${line}; --help lists the options`, { cause: error });
  }
}
