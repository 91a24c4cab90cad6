import type { IssuedPair } from "../../shared/tls/issue.ts";
import type { NodeSite } from "./network.ts";
import { testImage } from "./test-image.ts";

/** Lines of the container `lines`, and of each that is written once `writer` was told to. */
export const logLineCount = 100_000;

/** The ports of the container `server`. */
export const podPorts = { http: 8080, https: 8443 } as const;

/** The group that `server` answers for, as an aggregated API. */
export const aggregatedGroup = "e2e.hawser.test";

/** The one pod of a node. */
export const podName = ({ name }: NodeSite) => name.replace("node", "pod");

const writeLines = `awk 'BEGIN { for (i = 1; i <= ${logLineCount}; i++) printf "line %06d of a log that nobody may shorten\\n", i }'`;
/** Nothing ends one of these but SIGKILL, which comes at once with its node. */
const stay = "exec sleep 2147483";

/** What `lines` and `writer` have written when they are done. */
export function* expectedLogLines(): Generator<string> {
  for (let line = 1; line <= logLineCount; line++) {
    yield `line ${String(line).padStart(6, "0")} of a log that nobody may shorten`;
  }
}

/** The file whose appearance `writer` waits for. */
export const writerStart = "/tmp/start";

/** One container for each thing that a test does with a pod; no scheduler and no service account is needed. */
export function testPod(site: NodeSite, serving: IssuedPair): object {
  const name = podName(site);
  const env = Object.entries({ POD: name, CERTIFICATE: serving.cert, KEY: serving.key });
  return {
    metadata: { name, labels: { app: "e2e" } },
    spec: {
      nodeName: site.name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      containers: [
        shell("shell", stay),
        shell("lines", `${writeLines}; ${stay}`),
        shell("writer", `until [ -e ${writerStart} ]; do usleep 50000; done; ${writeLines}; ${stay}`),
        shell("clock", "i=0; while true; do i=$((i + 1)); echo tick $i; usleep 20000; done"),
        { ...container("echo", ["cat"]), stdin: true },
        { ...container("server", ["/pod-server"]), env: env.map(([name, value]) => ({ name, value })) },
      ],
    },
  };
}

const shell = (name: string, script: string) => container(name, ["sh", "-c", script]);

function container(name: string, command: readonly string[]): object {
  return { name, image: testImage, imagePullPolicy: "Never", command };
}
