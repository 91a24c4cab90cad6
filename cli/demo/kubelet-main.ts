// The kubelet's place as a process of its own, so that figures are not those of one busy thread. Started by the demo:
// arguments are the files of certificate and key, the port goes back as a message, and it ends when the demo has gone.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { kubeletServer } from "./kubelet-server.ts";

const [certFile = "", keyFile = ""] = process.argv.slice(2);
const server = kubeletServer({ cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") });
server.listen(0, "127.0.0.1");
await once(server, "listening");
process.on("disconnect", () => {
  server.close();
  server.closeAllConnections();
});
process.send?.((server.address() as AddressInfo).port);
