import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { UsageError } from "../errors.ts";
import { hostPort } from "../host-port.ts";
import type { Log } from "../log.ts";
import { loadCaBundle } from "../tls/credentials.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { TokenFile } from "./token-file.ts";

/** What kubelet puts into a pod's environment; empty outside one. */
export interface ClusterService {
  /** `KUBERNETES_SERVICE_HOST` */
  readonly host: string;
  /** `KUBERNETES_SERVICE_PORT` */
  readonly port: string;
}

/** Where kubelet mounts the pod's service account. */
const mountedFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** How a pod reaches its own cluster. Throws a UsageError of one sentence outside of one, or if a mounted file is no good. */
export function inClusterAccess(
  deps: { readonly clock: Clock; readonly log: Log },
  { host, port }: ClusterService,
  folder: string = mountedFolder,
): ClusterAccess {
  if (host === "" || port === "") {
    throw new UsageError(
      "the Kubernetes API is needed, but KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in a pod: " +
        "name a kubeconfig with --kubeconfig",
    );
  }
  const text = `https://${hostPort(host, port)}`;
  if (!URL.canParse(text)) {
    throw new UsageError(`KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address: ${text}`);
  }
  const tokenFile = new TokenFile(deps, join(folder, "token"));
  const { ca } = loadCaBundle(join(folder, "ca.crt"));
  return {
    url: new URL(text),
    tls: { ca, verify: true, serverName: undefined, keyPair: undefined },
    token: () => tokenFile.current,
  };
}
