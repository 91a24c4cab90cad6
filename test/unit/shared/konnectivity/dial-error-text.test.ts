import { once } from "node:events";
import { createServer, Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { type ErrorCode, errorTraits, ProxyError } from "../../../../shared/errors.ts";
import {
  classifyDialErrorText,
  cleanErrorText,
  DialTimeout,
  describeDialFailure,
} from "../../../../shared/konnectivity/dial-error-text.ts";

describe("classifyDialErrorText", () => {
  it.each<[text: string, code: ErrorCode, http: number]>([
    ["dial tcp 10.0.0.1:80: i/o timeout", "dial_timeout", 504],
    ["dial tcp: lookup x on 10.96.0.10:53: read udp 10.0.0.2:1->10.96.0.10:53: i/o timeout", "dial_timeout", 504],
    ["context deadline exceeded", "dial_timeout", 504],
    ["net/http: TLS handshake timeout", "dial_timeout", 504],
    ["Timed out: TIMEOUT", "dial_timeout", 504],
    ["dial tcp 10.0.0.1:80: socket: too many open files", "over_limit", 503],
    ["dial tcp 10.0.0.1:80: socket: Too Many Open Files in system", "over_limit", 503],
    ["dial tcp 10.0.0.1:80: connect: connection refused", "refused", 502],
    ["read: connection reset by peer", "refused", 502],
    ["write: broken pipe", "refused", 502],
    ["dial tcp 10.0.0.1:80: connect: network is unreachable", "unreachable", 502],
    ["dial tcp 10.0.0.1:80: connect: no route to host", "unreachable", 502],
    ["host is unreachable", "unreachable", 502],
    ["network is down", "unreachable", 502],
    ["dial tcp: lookup name on 10.96.0.10:53: no such host", "dns", 502],
    ["Temporary failure in name resolution", "dns", 502],
    ["tls: bad record", "protocol", 502],
    ["SSL alert", "protocol", 502],
    ["x509: certificate has expired", "protocol", 502],
    ["dial tcp: address foo: missing port in address", "protocol", 502],
    ["dial foo: unknown network foo", "protocol", 502],
    ["dial tcp 10.0.0.1:80: connect: connection timed out", "unreachable", 502],
    ["something else", "unreachable", 502],
    ["", "unreachable", 502],
  ])("takes %j for %s", (text, code, http) => {
    expect(classifyDialErrorText(text)).toBe(code);
    expect(errorTraits[code].http).toBe(http);
  });

  it("goes by the first rule that matches", () => {
    expect(classifyDialErrorText("no such host: certificate: connection refused: i/o timeout")).toBe("dial_timeout");
    expect(classifyDialErrorText("no such host: certificate: connection refused")).toBe("refused");
    expect(classifyDialErrorText("certificate: no such host")).toBe("dns");
  });
});

const systemError = (code: string, more: object = {}) =>
  Object.assign(new Error(`node's text ${code}`), { code, ...more });
const describeTcp = (cause: unknown, address = "node-1.example:10250") =>
  describeDialFailure({ protocol: "tcp", address, cause });

describe("describeDialFailure", () => {
  it.each<[cause: Error, code: ErrorCode, message: string]>([
    [systemError("ECONNREFUSED"), "refused", "dial tcp 10.0.0.1:80: connect: connection refused"],
    [systemError("ECONNRESET"), "refused", "dial tcp 10.0.0.1:80: connect: connection reset by peer"],
    [systemError("ETIMEDOUT"), "unreachable", "dial tcp 10.0.0.1:80: connect: connection timed out"],
    [systemError("EHOSTUNREACH"), "unreachable", "dial tcp 10.0.0.1:80: connect: no route to host"],
    [systemError("ENETUNREACH"), "unreachable", "dial tcp 10.0.0.1:80: connect: network is unreachable"],
    [systemError("ENETDOWN"), "unreachable", "dial tcp 10.0.0.1:80: connect: network is down"],
    [systemError("EADDRNOTAVAIL"), "unreachable", "dial tcp 10.0.0.1:80: connect: cannot assign requested address"],
    [systemError("EINVAL"), "unreachable", "dial tcp 10.0.0.1:80: connect: invalid argument"],
    [systemError("EMFILE"), "over_limit", "dial tcp 10.0.0.1:80: socket: too many open files"],
    [systemError("ENFILE"), "over_limit", "dial tcp 10.0.0.1:80: socket: too many open files in system"],
    [systemError("ENOTFOUND"), "dns", "dial tcp: lookup node-1.example: no such host"],
    [systemError("EINVAL", { syscall: "getaddrinfo" }), "dns", "dial tcp: lookup node-1.example: no such host"],
    [systemError("EAI_AGAIN"), "dns", "dial tcp: lookup node-1.example: temporary failure in name resolution"],
    [systemError("EAI_FAIL"), "dns", "dial tcp: lookup node-1.example: server misbehaving"],
    [new DialTimeout(), "dial_timeout", "dial tcp 10.0.0.1:80: i/o timeout"],
  ])("says what Go would say for %s", (cause, code, message) => {
    const error = describeDialFailure({
      protocol: "tcp",
      address: "node-1.example:10250",
      reached: "10.0.0.1:80",
      cause,
    });
    expect(error).toMatchObject({ code, message, cause, reportedBy: "agent" });
    expect(classifyDialErrorText(message), "a peer that has only the text").toBe(code);
  });

  it("names the address that the system error names, an IPv6 one in brackets", () => {
    const refused = (address: string) => describeTcp(systemError("ECONNREFUSED", { address, port: 10250 })).message;
    expect(refused("10.0.0.7")).toBe("dial tcp 10.0.0.7:10250: connect: connection refused");
    expect(refused("fd00::7")).toBe("dial tcp [fd00::7]:10250: connect: connection refused");
  });

  it("names the address of the request where it knows no other", () => {
    expect(describeTcp(systemError("ECONNREFUSED")).message).toBe(
      "dial tcp node-1.example:10250: connect: connection refused",
    );
  });

  it("takes the first of several failures", () => {
    const cause = new AggregateError([systemError("ENETUNREACH"), systemError("ECONNREFUSED")]);
    expect(describeTcp(cause).code).toBe("unreachable");
  });

  it("leaves a ProxyError as it is", () => {
    const denied = new ProxyError("denied", "this destination is not allowed");
    expect(describeTcp(denied)).toBe(denied);
  });

  it.each([[new Error("secret")], [systemError("EWHATEVER")], [undefined], ["text"], [new AggregateError([])]])(
    "keeps the unexpected cause %s to our own log",
    (cause) => {
      expect(describeTcp(cause)).toMatchObject({
        code: "internal",
        message: "dial tcp node-1.example:10250: internal error",
      });
    },
  );

  it("cleans and cuts what the request said", () => {
    const { message } = describeTcp(systemError("ENOTFOUND"), `${"a\n".repeat(600)}:1`);
    expect(message).toMatch(/^dial tcp: lookup (?:a )+a?$/);
    expect(message).toHaveLength(1024);
  });

  it("knows what Node itself reports for a refused port", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    const socket = new Socket().connect(port, "127.0.0.1");
    const [cause] = await once(socket, "error");
    expect(describeTcp(cause)).toMatchObject({
      code: "refused",
      message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
  });
});

describe("cleanErrorText", () => {
  it("turns control characters and line separators into spaces", () => {
    expect(cleanErrorText("a\r\nb\u0000c\u007fd\u0085e\u2028f\u2029g\th")).toBe("a  b c d e f g h");
  });

  it("leaves plain text of any script alone", () => {
    expect(cleanErrorText("größer 大 🚢")).toBe("größer 大 🚢");
  });

  it.each([
    ["a".repeat(1024), 1024],
    ["a".repeat(1025), 1024],
    ["ü".repeat(512), 1024],
    [`a${"ü".repeat(600)}`, 1023],
    [`aa${"大".repeat(1000)}`, 1022],
    [`a${"🚢".repeat(1000)}`, 1021],
    [`${"a".repeat(1023)}🚢`, 1023],
  ])("cuts at 1 KiB, between characters (case %#)", (text, bytes) => {
    const clean = cleanErrorText(text);
    expect(Buffer.byteLength(clean)).toBe(bytes);
    expect(text.startsWith(clean)).toBe(true);
  });
});
