import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { agentFlags } from "../../agent/options-flags.ts";
import { serverFlags } from "../../server/options-flags.ts";
import type { FlagValues } from "../../shared/options/flag.ts";
import { parseFlags } from "../../shared/options/pflag.ts";
import type { Half } from "../../tools/image/image-layout.ts";
import { repositoryRoot } from "./repository-root.ts";

/** A Kubernetes object, of which tests look at these fields. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: { readonly template?: { readonly spec: PodSpec } };
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly resources?: { readonly limits: { readonly memory: string } };
}

/** Every object of a stream of YAML documents; empty documents are none. Throws what the parser says of a bad one. */
export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map((document) => {
      if (!("errors" in document)) return undefined;
      for (const error of [...document.errors, ...document.warnings]) throw error;
      return document.toJS() as Manifest | null;
    })
    .filter((manifest) => manifest !== null && manifest !== undefined);
}

/** YAML files below a folder of the repository, by path from there. */
export function yamlFiles(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(join(repositoryRoot, folder), { encoding: "utf8", recursive: true });
  return new Map(
    names
      .filter((name) => name.endsWith(".yaml"))
      .sort()
      .map((name) => [name, readFileSync(join(repositoryRoot, folder, name), "utf8")]),
  );
}

export function containersOf({ spec }: Manifest): readonly Container[] {
  const pod = spec?.template?.spec;
  return [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])];
}

export function halfOf({ command }: Container): Half | undefined {
  if (command[0] === "/proxy-server") return "server";
  return command[0] === "/proxy-agent" ? "agent" : undefined;
}

/** A container's arguments after kubelet has put variables in. */
export function expandArguments({ args = [] }: Container, env: Readonly<Record<string, string>>): readonly string[] {
  return args.map((arg) => arg.replaceAll(/\$\((\w+)\)/g, (whole, name: string) => env[name] ?? whole));
}

/** What a half makes of a container's arguments. Throws its error for a flag that it does not know. */
export function flagsOf(container: Container, half: "server"): FlagValues<typeof serverFlags>;
export function flagsOf(container: Container, half: "agent"): FlagValues<typeof agentFlags>;
export function flagsOf(container: Container, half: Half): object;
export function flagsOf(container: Container, half: Half): object {
  const argv = expandArguments(container, { NODE_NAME: "node-1", HOST_IP: "192.0.2.1" });
  return half === "server" ? parseFlags(argv, serverFlags).values : parseFlags(argv, agentFlags).values;
}

/** Where kube-apiserver makes objects of a kind. Throws for one that no manifest of ours has. */
export function collectionOf(kind: string, namespace: string): string {
  const collection: Readonly<Record<string, string>> = {
    ServiceAccount: `/api/v1/namespaces/${namespace}/serviceaccounts`,
    Service: `/api/v1/namespaces/${namespace}/services`,
    Pod: `/api/v1/namespaces/${namespace}/pods`,
    ClusterRoleBinding: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    Role: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
    RoleBinding: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
    DaemonSet: `/apis/apps/v1/namespaces/${namespace}/daemonsets`,
    Deployment: `/apis/apps/v1/namespaces/${namespace}/deployments`,
    NetworkPolicy: `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`,
    PodDisruptionBudget: `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`,
  };
  const path = collection[kind];
  if (path === undefined) throw new Error(`no place for a ${kind}: add it to collectionOf`);
  return path;
}
