import { type AddressInfo, createServer } from "node:net";

/** Listens with the shortest queue there is and writes its port to standard output: stopped, it takes in nobody. */
const server = createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
