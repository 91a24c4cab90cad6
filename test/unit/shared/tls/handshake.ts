import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { onTestFinished } from "vitest";

/**
 * Shakes hands over loopback and resolves to both ends once each has finished; rejects with the first error of either.
 * Both ends and the listener are gone when the test has finished.
 */
export async function handshake(options: {
  readonly server: tls.TlsOptions;
  readonly client: tls.ConnectionOptions;
}): Promise<{ readonly server: tls.TLSSocket; readonly client: tls.TLSSocket }> {
  const listener = tls.createServer({ minVersion: "TLSv1.2", ...options.server });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const client = tls.connect({ host: "127.0.0.1", port, ...options.client });
  const closed = once(listener, "close");
  onTestFinished(async () => {
    client.destroy();
    listener.close();
    await closed;
  });
  const refused = once(listener, "tlsClientError").then(([error]) => Promise.reject(error as Error));
  const [[server]] = await Promise.race([
    Promise.all([once(listener, "secureConnection"), once(client, "secureConnect")]),
    refused,
  ]);
  const serverEnd = server as tls.TLSSocket;
  onTestFinished(() => {
    serverEnd.destroy();
  });
  return { server: serverEnd, client };
}
