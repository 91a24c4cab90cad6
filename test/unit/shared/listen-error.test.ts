import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../shared/errors.ts";
import { type ListenPlace, listenError } from "../../../shared/listen-error.ts";

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`listen ${code}`), { code });

describe("what is said of a listener that cannot listen", () => {
  const port = { host: "2001:db8::1", port: 80 };
  const path = { path: join(tmpdir(), "front.sock") };
  const lost = { path: "/no/such/folder/front.sock" };
  it.each<[ListenPlace, string, string]>([
    [port, "EADDRINUSE", "[2001:db8::1]:80: address already in use; stop what listens there or choose another port"],
    [path, "EADDRINUSE", `${path.path}: address already in use; stop what listens there or choose another path`],
    [port, "EACCES", "[2001:db8::1]:80: permission denied; choose a port from 1024 on"],
    [path, "EACCES", `${path.path}: permission denied`],
    [lost, "EACCES", `${lost.path}: the directory does not exist`],
    [port, "EADDRNOTAVAIL", "[2001:db8::1]:80: this machine has no such address"],
    [{ host: "", port: 8132 }, "ENFILE", "*:8132: listen ENFILE"],
  ])("%j, %s", (place, code, text) => {
    const cause = failure(code);
    const error = listenError("--flag", place, cause);
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ message: `--flag: cannot listen on ${text}`, cause });
  });
});
