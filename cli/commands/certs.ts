import yargs from "yargs";
import { UsageError } from "../../shared/errors.ts";
import { type ExitCode, reportStartFailure } from "../../shared/process.ts";
import {
  type CertificateSetOptions,
  endNames,
  type WrittenPair,
  writeCertificateSet,
} from "../../shared/tls/certificate-set.ts";

const defaultServerNames = [
  "localhost",
  "127.0.0.1",
  "::1",
  "kubernetes",
  "konnectivity-server.kube-system.svc.cluster.local",
];
const daysMax = 36_500;

/** Where each pair goes, as flags of the two programs and fields of an egress selector configuration. */
const usesOf: Readonly<Record<WrittenPair["name"], (pair: WrittenPair) => readonly string[]>> = {
  "frontend-ca": ({ certFile }) => [
    `proxy-server --server-ca-cert=${certFile}`,
    `egress selector caBundle: ${certFile}`,
  ],
  "agent-ca": ({ certFile }) => [`proxy-server --cluster-ca-cert=${certFile}`, `proxy-agent --ca-cert=${certFile}`],
  server: ({ certFile, keyFile }) => [`proxy-server --server-cert=${certFile} --server-key=${keyFile}`],
  cluster: ({ certFile, keyFile }) => [`proxy-server --cluster-cert=${certFile} --cluster-key=${keyFile}`],
  agent: ({ certFile, keyFile }) => [`proxy-agent --agent-cert=${certFile} --agent-key=${keyFile}`],
  client: ({ certFile, keyFile }) => [`egress selector clientCert: ${certFile}, clientKey: ${keyFile}`],
};

/** `hawser certs`: issues CAs and certificates for a server and its agents. `argv` without the command. Never rejects. */
export async function certsCommand(
  argv: readonly string[],
  write: (text: string) => void = (text) => process.stdout.write(text),
): Promise<ExitCode> {
  try {
    const command = await parseCertsOptions(argv);
    write(command.kind === "text" ? command.text : report(await writeCertificateSet(command.options)));
    return 0;
  } catch (error) {
    return reportStartFailure("hawser certs", error);
  }
}

type CertsCommand =
  | { readonly kind: "run"; readonly options: CertificateSetOptions }
  | { readonly kind: "text"; readonly text: string };

const parser = () =>
  yargs()
    .scriptName("hawser certs")
    .usage("$0 [options]\n\nIssues CAs, server, agent and client certificates, and says which flag takes which file.")
    .options({
      out: { type: "string", default: "certs", describe: "Folder to write to" },
      only: { choices: endNames, describe: "Issue this pair alone, from the CA in --out" },
      "server-san": {
        type: "string",
        array: true,
        default: defaultServerNames,
        describe: "DNS name, IP address or URI of the server; repeat it. Replaces the default ones",
      },
      "agent-id": { type: "string", describe: "Name the agent's files agent-<id>, and its certificate <id>" },
      "agent-cn": {
        type: "string",
        describe: "Common name of the agent's certificate",
        defaultDescription: "agent id",
      },
      "client-cn": { type: "string", default: "kube-apiserver", describe: "Common name of the client's certificate" },
      algorithm: { choices: ["ecdsa", "rsa"] as const, default: "ecdsa" as const, describe: "ECDSA P-256, or RSA" },
      "rsa-bits": { choices: [2048, 3072] as const, default: 2048 as const, describe: "Size of RSA keys" },
      days: { type: "number", default: 365, describe: "Validity; CAs get ten years, or this if it is more" },
      force: { type: "boolean", default: false, describe: "Replace files that exist" },
    })
    .parserConfiguration({ "greedy-arrays": false })
    .strict()
    .demandCommand(0, 0, undefined, "hawser certs takes options only")
    .check((args) => {
      const repeated = Object.entries(args).find(([name, value]) => /^[a-z]/.test(name) && isRepeated(name, value));
      if (repeated !== undefined) throw new UsageError(`--${repeated[0]} is given more than once`);
      return true;
    })
    .locale("en")
    .version(false)
    .fail(false);

const isRepeated = (name: string, value: unknown): boolean =>
  Array.isArray(value) && name !== "server-san" && name !== "serverSan";

async function parseCertsOptions(argv: readonly string[]): Promise<CertsCommand> {
  let text = "";
  const args = await readArguments(argv, (output) => {
    text = output;
  });
  if (text !== "") return { kind: "text", text: `${text}\n` };
  if (!Number.isInteger(args.days) || args.days < 1 || args.days > daysMax) {
    throw new UsageError(`--days must be a whole number from 1 to ${daysMax}`);
  }
  return {
    kind: "run",
    options: {
      folder: args.out,
      serverNames: args.serverSan,
      clientCommonName: args.clientCn,
      agentCommonName: args.agentCn ?? args.agentId ?? "konnectivity-agent",
      algorithm: args.algorithm === "ecdsa" ? "ecdsa-p256" : `rsa-${args.rsaBits}`,
      validityDays: args.days,
      force: args.force,
      ...(args.agentId !== undefined && { agentId: args.agentId }),
      ...(args.only !== undefined && { only: args.only }),
    },
  };
}

/** Everything that yargs finds wrong is one line. The callback keeps its help from going to the console. */
async function readArguments(argv: readonly string[], onHelp: (text: string) => void) {
  try {
    return await parser().parseAsync(argv, {}, (_error, _args, output) => onHelp(output));
  } catch (error) {
    const line = (error as Error).message.trim().replaceAll(/\s*\n\s*/g, " ");
    throw new UsageError(`${line}; --help lists the options`, { cause: error });
  }
}

function report(pairs: readonly WrittenPair[]): string {
  const lines = pairs.flatMap((pair) => [
    `wrote ${pair.certFile} and ${pair.keyFile}`,
    ...usesOf[pair.name](pair).map((use) => `      ${use}`),
  ]);
  const caKeys = pairs.filter(({ name }) => name.endsWith("-ca")).map(({ keyFile }) => keyFile);
  if (caKeys.length > 0) lines.push(`keep ${caKeys.join(" and ")} away from both programs: they only sign`);
  return `${lines.join("\n")}\n`;
}
