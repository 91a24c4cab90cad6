import { UsageError } from "../errors.ts";
import { goesDirectly, type ProxyTarget } from "./no-proxy.ts";

/** What the environment says of proxies. Empty where it says nothing. */
export interface ProxyEnvironment {
  /** `HTTPS_PROXY`, else `https_proxy`. May hold a password: never log it. */
  readonly httpsProxy: string;
  /** `NO_PROXY`, else `no_proxy` */
  readonly noProxy: string;
}

/** An HTTP proxy to send CONNECT to. */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** As written, in lower case; `http` where there is none. */
  readonly scheme: string;
  /** The value of `Proxy-Authorization`. Never log it. */
  readonly authorization: string | undefined;
  /** For logs and errors: without user and password. */
  readonly shown: string;
}

export function readProxyEnvironment(env: NodeJS.ProcessEnv): ProxyEnvironment {
  return {
    httpsProxy: env.HTTPS_PROXY || env.https_proxy || "",
    noProxy: env.NO_PROXY || env.no_proxy || "",
  };
}

/**
 * The proxy by which `target` is to be reached; undefined if directly. Throws a UsageError if HTTPS_PROXY is to be used and is no
 * address of a proxy of one of `schemes`. `defaultPort` is for an address without one.
 */
export function proxyFor(
  environment: ProxyEnvironment,
  target: ProxyTarget,
  { schemes, defaultPort }: { readonly schemes: readonly string[]; readonly defaultPort: number },
): HttpProxy | undefined {
  const { httpsProxy, noProxy } = environment;
  if (httpsProxy === "" || goesDirectly(noProxy, target)) return undefined;
  const where = `${target.host}:${target.port}`;
  const proxy = parseProxy(httpsProxy, defaultPort);
  if (proxy === undefined) {
    throw new UsageError(
      `HTTPS_PROXY is no address of a proxy, such as http://proxy.example:3128: mend it, or name ${where} in NO_PROXY`,
    );
  }
  if (!schemes.includes(proxy.scheme)) {
    throw new UsageError(
      `HTTPS_PROXY names a proxy of kind ${proxy.scheme}, and ${where} can be reached by one of ${schemes.join(" or ")} only: ` +
        "name another, or the address in NO_PROXY",
    );
  }
  return proxy;
}

/** Reads `scheme://user:password@host:port` and `host:port`. Undefined for anything else: a complaint could quote the password. */
function parseProxy(text: string, defaultPort: number): HttpProxy | undefined {
  const [, scheme = "http", rest = text] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? [];
  // Under a scheme of no meaning the parser keeps the port, also 80, and leaves the host as it is.
  const address = `proxy://${rest}`;
  if (!URL.canParse(address)) return undefined;
  const { hostname, port, username, password } = new URL(address);
  // The parser writes what no host name has in percent.
  if (hostname === "" || hostname.includes("%") || port === "0") return undefined;
  const proxy = {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? defaultPort : Number(port),
    scheme: scheme.toLowerCase(),
  };
  const shown = `${proxy.scheme}://${hostname}:${proxy.port}`;
  if (username === "" && password === "") return { ...proxy, authorization: undefined, shown };
  try {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return { ...proxy, authorization: `Basic ${Buffer.from(credentials).toString("base64")}`, shown };
  } catch {
    return undefined;
  }
}
