// Runs after tsc: copies proto/*.proto to dist/proto, where shared/proto.ts looks for them in a built tree,
// and leaves the stamp by which tools/prepare.mjs tells whether the build is fresh.
import { chmodSync, cpSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
for (const file of readdirSync(`${root}proto`).filter((name) => name.endsWith(".proto"))) {
  cpSync(`${root}proto/${file}`, `${root}dist/proto/${file}`);
}
for (const half of ["server", "agent", "cli"]) chmodSync(`${root}dist/${half}/bin.js`, 0o755);
writeFileSync(`${root}dist/.built`, "");
