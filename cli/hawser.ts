import { nearest } from "../shared/options/nearest.ts";
import type { ExitCode } from "../shared/process.ts";
import { version } from "../shared/version.ts";

interface Command {
  readonly describe: string;
  /** Loads the command when it is asked for, so that a server or an agent carries nothing of the others. */
  readonly load: () => Promise<(argv: readonly string[]) => Promise<ExitCode>>;
}

const commands: Readonly<Record<string, Command>> = {
  server: {
    describe: "Run a proxy server (the same as proxy-server)",
    load: async () => (await import("../server/main.ts")).main,
  },
  agent: {
    describe: "Run a proxy agent (the same as proxy-agent)",
    load: async () => (await import("../agent/main.ts")).main,
  },
  certs: {
    describe: "Issue CAs and certificates for a server, its agents and its clients",
    load: async () => (await import("./commands/certs.ts")).certsCommand,
  },
  demo: {
    describe: "Show on this machine what Hawser does, in less than a minute",
    load: async () => (await import("./commands/demo.ts")).demoCommand,
  },
};

export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const standardOutput: Output = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/**
 * The `hawser` command; `argv` without the program's name. What follows a command's name is handed on untouched, since server and agent
 * read flags as pflag does. Never rejects.
 */
export async function hawser(argv: readonly string[], output: Output = standardOutput): Promise<ExitCode> {
  const [name, ...rest] = argv;
  switch (name) {
    case undefined:
      output.err(await helpText());
      return 1;
    case "--help":
    case "-h":
      output.out(await helpText());
      return 0;
    case "--version":
      output.out(`hawser ${version}\n`);
      return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command !== undefined) return await (await command.load())(rest);
  output.err(`hawser: ${unknownText(name)}\n`);
  return 1;
}

function unknownText(name: string): string {
  const what = name.startsWith("-") ? `unknown option: ${name}` : `unknown command: ${name}`;
  const best = nearest(name, Object.keys(commands));
  return `${what}${best === undefined ? "" : ` (did you mean ${best}?)`}; hawser --help lists the commands`;
}

async function helpText(): Promise<string> {
  const { default: yargs } = await import("yargs");
  const parser = yargs()
    .scriptName("hawser")
    .usage("$0 <command> [options]\n\nA Konnectivity-compatible reverse tunnel from a control plane to its nodes.")
    .locale("en")
    .version(version)
    .alias("help", "h")
    .epilogue("hawser <command> --help tells more about a command.");
  for (const [name, { describe }] of Object.entries(commands)) parser.command(name, describe);
  return `${await parser.getHelp()}\n`;
}
