import { describe, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { type HttpProxy, proxyFor, readProxyEnvironment } from "../../../../shared/http/proxy-environment.ts";

const target = { host: "server.example", port: 8091 };

function proxyBy(env: NodeJS.ProcessEnv, schemes = ["http"]): HttpProxy | undefined {
  return proxyFor(readProxyEnvironment(env), target, { schemes, defaultPort: 443 });
}

const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString("base64")}`;

describe("the environment", () => {
  it("names a proxy in upper case, else in lower case, and none if neither says anything", () => {
    expect(proxyBy({})).toBeUndefined();
    expect(proxyBy({ HTTP_PROXY: "http://p:1", http_proxy: "http://p:1", ALL_PROXY: "http://p:1" })).toBeUndefined();
    expect(proxyBy({ HTTPS_PROXY: "http://upper:1", https_proxy: "http://lower:2" })?.host).toBe("upper");
    expect(proxyBy({ HTTPS_PROXY: "", https_proxy: "http://lower:2" })?.host).toBe("lower");
  });

  it("exempts likewise, and then the proxy's address does not matter", () => {
    expect(proxyBy({ HTTPS_PROXY: "http://p:1", NO_PROXY: "server.example" })).toBeUndefined();
    expect(proxyBy({ HTTPS_PROXY: "http://p:1", NO_PROXY: "", no_proxy: "server.example" })).toBeUndefined();
    expect(proxyBy({ HTTPS_PROXY: "http://p:1", NO_PROXY: "x", no_proxy: "server.example" })).toBeDefined();
    expect(proxyBy({ HTTPS_PROXY: "::nonsense::", NO_PROXY: "*" })).toBeUndefined();
  });

  it.each([
    ["http://proxy.example:3128", "proxy.example", 3128, undefined],
    ["HTTP://proxy.example:3128/path", "proxy.example", 3128, undefined],
    ["proxy.example:3128", "proxy.example", 3128, undefined],
    ["proxy.example", "proxy.example", 443, undefined],
    ["http://proxy.example:80", "proxy.example", 80, undefined],
    ["http://10.0.0.1:3128", "10.0.0.1", 3128, undefined],
    ["http://[2001:db8::1]:3128", "2001:db8::1", 3128, undefined],
    ["http://user:pass@proxy.example:3128", "proxy.example", 3128, "user:pass"],
    ["user:pass@proxy.example:3128", "proxy.example", 3128, "user:pass"],
    ["http://user@proxy.example:3128", "proxy.example", 3128, "user:"],
    ["http://us%40er:p%3Aa%25%2f@proxy.example:3128", "proxy.example", 3128, "us@er:p:a%/"],
  ])("%s", (text, host, port, credentials) => {
    expect(proxyBy({ HTTPS_PROXY: text })).toEqual({
      host,
      port,
      scheme: "http",
      authorization: credentials === undefined ? undefined : basic(credentials),
      shown: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    });
  });

  it.each(["http://", "http://:3128", "http://proxy:99999", "http://proxy:x", "http://u:secret@", "a b", "http://p:0"])(
    "%s is refused without being repeated",
    (text) => {
      expect(() => proxyBy({ HTTPS_PROXY: text })).toThrow(UsageError);
      expect(() => proxyBy({ HTTPS_PROXY: text })).toThrow(
        "HTTPS_PROXY is no address of a proxy, such as http://proxy.example:3128: mend it, or name server.example:8091 in NO_PROXY",
      );
    },
  );

  it("names a kind of proxy that is refused where it is not spoken", () => {
    const text = "socks5://u:secret@proxy:1080";
    expect(() => proxyBy({ HTTPS_PROXY: text })).toThrow(
      "HTTPS_PROXY names a proxy of kind socks5, and server.example:8091 can be reached by one of http only: " +
        "name another, or the address in NO_PROXY",
    );
    expect(proxyBy({ HTTPS_PROXY: "HTTPS://proxy:8443" }, ["http", "https"])?.scheme).toBe("https");
  });
});
