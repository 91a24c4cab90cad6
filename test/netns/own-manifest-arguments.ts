import { readFileSync } from "node:fs";
import { join } from "node:path";
import { containersOf, expandArguments, parseManifests } from "../support/manifests.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import type { ManifestArguments } from "./manifest-arguments.ts";
import { nodeAddress } from "./node-namespace.ts";

/** The arguments with which our own manifests start both halves, with agents in either form. */
export function ownManifestArguments(): readonly ManifestArguments[] {
  const server = argumentsIn("server/daemonset.yaml");
  const [, socket = ""] = /^--uds-name=(.*)$/m.exec(server.join("\n")) ?? [];
  return ["agent-daemonset/daemonset.yaml", "agent-deployment/deployment.yaml"].map((file) => ({
    source: `deploy/kustomize/${file}`,
    protocol: "grpc",
    socket,
    server,
    agent: argumentsIn(file),
  }));
}

function argumentsIn(file: string): readonly string[] {
  const manifests = parseManifests(readFileSync(join(repositoryRoot, "deploy/kustomize", file), "utf8"));
  const [container] = manifests.flatMap(containersOf);
  if (container === undefined) throw new Error(`${file} has no container`);
  return expandArguments(container, { NODE_NAME: "node-1", HOST_IP: nodeAddress });
}
