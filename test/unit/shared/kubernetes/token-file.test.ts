import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { inClusterAccess } from "../../../../shared/kubernetes/in-cluster.ts";
import { readToken, TokenFile } from "../../../../shared/kubernetes/token-file.ts";
import { silentLog } from "../../../../shared/log.ts";
import { issueCa } from "../../../../shared/tls/issue.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "hw-token-"));
const path = join(folder, "token");
afterAll(() => rmSync(folder, { recursive: true }));

const deps = () => ({ clock: new FakeClock(), log: silentLog });

it("a token is what the file holds, without the white space around it", () => {
  writeFileSync(path, "\n abc.def-_ghi== \r\n");
  expect(readToken(path)).toBe("abc.def-_ghi==");
  writeFileSync(path, "x".repeat(16_384));
  expect(readToken(path)).toHaveLength(16_384);
});

it.each([
  ["", `the token file ${path} is empty`],
  [" \n", `the token file ${path} is empty`],
  ["two tokens", `the token file ${path} holds more than one token, or none`],
  ["t\u00f6ken", `the token file ${path} holds more than one token, or none`],
  ["x".repeat(16_385), `the token in ${path} is longer than 16384 bytes`],
])("a file with %.12j is refused", (text, message) => {
  writeFileSync(path, text);
  expect(() => readToken(path)).toThrow(new UsageError(message));
});

it("a file that is not there, or is a folder, is refused", () => {
  expect(() => readToken(join(folder, "missing"))).toThrow(/^the token file .*missing cannot be read: ENOENT/);
  expect(() => readToken(folder)).toThrow(/cannot be read: EISDIR/);
});

it("a token is read again after a minute, and the last good one goes on while the file is broken", () => {
  const { clock, log } = deps();
  writeFileSync(path, "first");
  const file = new TokenFile({ clock, log }, path);
  writeFileSync(path, "second");
  clock.advance(59_999);
  expect(file.current).toBe("first");
  clock.advance(1);
  expect(file.current).toBe("second");
  rmSync(path);
  clock.advance(60_000);
  expect(file.current).toBe("second");
  writeFileSync(path, "third");
  expect(file.current).toBe("second");
  clock.advance(60_000);
  expect(file.current).toBe("third");
});

it("a pod reaches its cluster with the account that is mounted into it", () => {
  const mounted = join(folder, "mounted");
  mkdirSync(mounted);
  writeFileSync(join(mounted, "token"), "pod-token\n");
  expect(() => inClusterAccess(deps(), { host: "10.0.0.1", port: "443" }, mounted)).toThrow(/ca\.crt/);
  const { cert } = issueCa({ commonName: "cluster CA", validityDays: 1 });
  writeFileSync(join(mounted, "ca.crt"), cert);
  const { clock, log } = deps();
  const access = inClusterAccess({ clock, log }, { host: "10.0.0.1", port: "6443" }, mounted);
  expect(access.url.href).toBe("https://10.0.0.1:6443/");
  expect(access.tls).toEqual({ ca: cert, verify: true, serverName: undefined, keyPair: undefined });
  expect(access.token()).toBe("pod-token");
  writeFileSync(join(mounted, "token"), "renewed");
  clock.advance(60_000);
  expect(access.token()).toBe("renewed");
  expect(inClusterAccess(deps(), { host: "fd00::1", port: "443" }, mounted).url.host).toBe("[fd00::1]");
});

it.each([
  [{ host: "", port: "" }, /^the Kubernetes API is needed, but KUBERNETES_SERVICE_HOST .* --kubeconfig$/],
  [{ host: "10.0.0.1", port: "" }, /--kubeconfig$/],
  [{ host: "10.0.0.1", port: "tcp://" }, /make no address: https:/],
])("outside of a cluster one sentence says what to do: %j", (service, text) => {
  expect(() => inClusterAccess(deps(), service, folder)).toThrow(UsageError);
  expect(() => inClusterAccess(deps(), service, folder)).toThrow(text);
});
