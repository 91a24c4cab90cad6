import { text } from "node:stream/consumers";
import { greeting } from "../kubelet-server.ts";
import { askKubelet, protocolNames, protocols, type Stage } from "../stage.ts";
import { expectEqual, Mismatch } from "../story.ts";

/** What OpenSSL calls a chain that does not lead to the authority one trusts. */
const untrusted: ReadonlySet<string> = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
]);

/** Shows that TLS runs from end to end: the client sees the kubelet's own certificate, and trusts nothing else. */
export async function verifiedRequest(stage: Stage): Promise<void> {
  const { story, tunnel } = stage;
  story.chapter("A request to the kubelet, HTTPS from end to end");
  for (const protocol of protocols) {
    const step = { label: `by ${protocolNames[protocol]}`, expected: "200, and the kubelet's own certificate" };
    await story.tell(step, async (signal) => {
      const answer = await askKubelet(stage, protocol, { method: "GET", path: "/" }, { signal });
      expectEqual("status", answer.status, 200);
      expectEqual("certificate", answer.fingerprint, tunnel.certificates.kubeletFingerprint);
      expectEqual("body", await text(answer.body), greeting);
      return { result: "200, with the kubelet's own certificate" };
    });
  }
  const step = { label: "with the wrong CA", expected: "a client that refuses the certificate" };
  await story.tell(step, async (signal) => {
    const ca = tunnel.certificates.read("agent-ca.crt");
    const refusal = await askKubelet(stage, "grpc", { method: "GET", path: "/", ca }, { signal }).then(
      ({ status }) => new Mismatch(`an answer with status ${status}`),
      (error: NodeJS.ErrnoException) => error,
    );
    if (!untrusted.has((refusal as NodeJS.ErrnoException).code ?? "")) throw refusal;
    return { result: "refused by the client", detail: refusal.message };
  });
}
