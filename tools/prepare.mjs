// Makes a clone ready to run: installs the locked dependencies if they are missing or older than the lock file,
// and builds dist if a source is newer. `npm run demo` and the test commands start with it.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = ["shared", "server", "agent", "cli", "test", "proto", "tools"];
const single = ["package.json", "package-lock.json", "tsconfig.json", "vitest.config.ts"];
const stamp = join(root, "dist", ".built");

function modifiedAt(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

function newest(path) {
  if (!existsSync(path)) return 0;
  if (!statSync(path).isDirectory()) return modifiedAt(path);
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || /\.(ts|proto|mjs)$/.test(entry.name))
    .reduce((latest, entry) => Math.max(latest, newest(join(path, entry.name))), modifiedAt(path));
}

function run(args) {
  const { status, error } = spawnSync("npm", args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  console.error(`npm ${args.join(" ")} failed${error ? `: ${error.message}` : ` with exit code ${status}`}`);
  process.exit(1);
}

if (modifiedAt(join(root, "node_modules", ".package-lock.json")) < modifiedAt(join(root, "package-lock.json"))) {
  run(["ci"]);
}
const changedAt = Math.max(...[...sources, ...single].map((name) => newest(join(root, name))));
if (modifiedAt(stamp) < changedAt) run(["run", "build"]);
