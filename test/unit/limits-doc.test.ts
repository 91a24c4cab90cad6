import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { endpointDialTimeoutMs, lookupsMax } from "../../agent/endpoints/endpoint-dialer.ts";
import { agentFlags } from "../../agent/options-flags.ts";
import { frontendHandshakeLimits } from "../../server/frontends/frontend.ts";
import { queueMaxBytes as frontendQueueMaxBytes } from "../../server/frontends/grpc-stream.ts";
import { headMaxBytes, headTimeoutMs } from "../../server/frontends/http-connect.ts";
import { admissionTimeoutMs, agentHandshakeLimits } from "../../server/links/agent-listener.ts";
import { queueMaxBytes as sharedQueueMaxBytes } from "../../server/links/konnectivity-link.ts";
import { spareLanesMax } from "../../server/links/tunnel-link.ts";
import { handshakeHeldMs, silentHeldMs } from "../../server/listeners/handshake-gate.ts";
import { handshakeTimeoutMs } from "../../server/listeners/listener.ts";
import { firstByteTimeoutMs } from "../../server/listeners/sniff.ts";
import { serverFlags } from "../../server/options-flags.ts";
import { backlogMaxBytes } from "../../shared/grpc/elastic-socket.ts";
import { messageMaxBytes } from "../../shared/grpc/framing.ts";
import { initialCalls, resetsBeforeDrain } from "../../shared/grpc/http2-options.ts";
import { connectionsMax } from "../../shared/http/listener.ts";
import { errorTextMaxBytes } from "../../shared/konnectivity/dial-error-text.ts";
import { backlogMaxBytes as packetBacklogMaxBytes } from "../../shared/konnectivity/packet-stream.ts";
import { identifiersMaxBytes, idMaxBytes } from "../../shared/options/checks.ts";
import { defaultText, type FlagTable } from "../../shared/options/flag.ts";
import { controlMessageMaxBytes, queueMaxBytes as laneQueueMaxBytes } from "../../shared/tunnel/lane.ts";
import { queueMaxBytes as linkQueueMaxBytes } from "../../shared/tunnel/link-stream.ts";
import { laneMessageMaxBytes, linkMessageMaxBytes } from "../../shared/tunnel/messages.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const page = readFileSync(join(repositoryRoot, "docs/limits.md"), "utf8");
const rowsAfter = (heading: string) =>
  (page.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "")
    .split("\n")
    .filter((line) => /^\| (?!limit)/.test(line))
    .map((line) =>
      line
        .split("|")
        .map((cell) => cell.trim())
        .slice(1, -1),
    );

const kibibytes = (bytes: number) => `${bytes / 1024} KiB`;
const mebibytes = (bytes: number) => `${bytes / 1024 / 1024} MiB`;
const bytes = (count: number) => `${count} B`;
const seconds = (ms: number) => `${ms / 1000} s`;

it("docs/limits.md has the fixed limits that the code has", () => {
  expect(rowsAfter("Fixed").map(([limit, value]) => [limit, value])).toEqual([
    ["TLS handshakes at once, agents", `${agentHandshakeLimits.max}`],
    ["of those from one address", `${agentHandshakeLimits.perSourceMax}`],
    ["TLS handshakes at once, frontends", `${frontendHandshakeLimits.max}`],
    [
      "age of a handshake whose place is wanted",
      `${seconds(handshakeHeldMs)}, or ${seconds(silentHeldMs)} if nothing was sent`,
    ],
    ["time for a TLS handshake", seconds(handshakeTimeoutMs)],
    ["from accept to an admitted agent", seconds(admissionTimeoutMs)],
    ["first byte, with `--mode=auto`", seconds(firstByteTimeoutMs)],
    ["head of a CONNECT request", kibibytes(headMaxBytes)],
    ["time for a CONNECT head", seconds(headTimeoutMs)],
    ["gRPC message", kibibytes(messageMaxBytes)],
    ["message on a lane", kibibytes(laneMessageMaxBytes)],
    ["of those on a lane that carries no connection", kibibytes(controlMessageMaxBytes)],
    ["message on a link of lanes", kibibytes(linkMessageMaxBytes)],
    ["streams of one frontend connection", `${initialCalls.frontends}`],
    ["streams that a frontend connection resets", `${resetsBeforeDrain}`],
    ["calls of an agent's connection before it is admitted", `${initialCalls.agents}`],
    ["lanes of an agent beside one for each connection", `${spareLanesMax}`],
    ["queue of one connection on a shared stream", kibibytes(sharedQueueMaxBytes)],
    ["queue of a gRPC frontend stream towards the endpoint", kibibytes(frontendQueueMaxBytes)],
    ["messages that a peer does not read, on a link of the reference's", mebibytes(packetBacklogMaxBytes)],
    ["likewise on a lane, without data", kibibytes(laneQueueMaxBytes)],
    ["likewise on a link of lanes", kibibytes(linkQueueMaxBytes)],
    ["answers of HTTP/2 itself that a peer over TLS does not read", mebibytes(backlogMaxBytes)],
    ["connections to the pages of health or of the admin port", `${connectionsMax}`],
    ["id of an agent or a server", bytes(idMaxBytes)],
    ["identifiers of an agent", bytes(identifiersMaxBytes)],
    ["error text of an agent", bytes(errorTextMaxBytes)],
    ["time for an agent's dial of an endpoint", seconds(endpointDialTimeoutMs)],
    ["DNS lookups at once in an agent", `${lookupsMax}`],
  ]);
});

describe("docs/limits.md has the flags of limits", () => {
  const rows = rowsAfter("With a flag").map(([, flag = "", value = ""]) => ({
    flag: flag.replace(/`|--/g, ""),
    value,
  }));
  const tables: readonly FlagTable[] = [serverFlags, agentFlags];

  it("with their defaults", () => {
    for (const { flag, value } of rows) {
      const [definition] = tables.flatMap((table) => table[flag] ?? []);
      if (definition === undefined) throw new Error(`--${flag} is no flag`);
      expect([flag, value.split(",")[0]]).toEqual([flag, defaultText(definition)]);
    }
  });

  it("all of them", () => {
    const limits = tables.flatMap((table) => Object.keys(table).filter((name) => name.startsWith("max-")));
    expect(rows.map(({ flag }) => flag)).toEqual(expect.arrayContaining(limits));
  });
});

it("docs/limits.md names every limit by which something is refused", () => {
  const sources = [
    "server/dialer.ts",
    "server/frontends/frontend.ts",
    "server/frontends/http-connect.ts",
    "server/links/admission.ts",
    "server/links/agent-listener.ts",
    "server/links/konnectivity-link.ts",
    "server/links/tunnel-link.ts",
    "server/listeners/listener.ts",
    "server/listeners/sniff.ts",
    "server/server.ts",
    "agent/agent.ts",
  ];
  const named = sources.flatMap((source) =>
    [...readFileSync(join(repositoryRoot, source), "utf8").matchAll(/(?:efused|onRefused)\("(\w+)"\)/g)].map(
      ([, limit]) => limit,
    ),
  );
  const documented = [...rowsAfter("With a flag"), ...rowsAfter("Fixed")].map((cells) =>
    cells.at(-1)?.replace(/`/g, ""),
  );
  // These two are checks of who somebody is, and stand in SECURITY.md.
  const checks = new Set(["identifiers", "frontend_client_names"]);
  expect([...new Set(named)].filter((limit) => !checks.has(limit ?? "")).sort()).toEqual(
    [...new Set(documented)].filter((limit) => limit !== "").sort(),
  );
});
