import type { HttpProxy } from "../http/proxy-environment.ts";

/** Where kube-apiserver is, how to tell that it is the right one, and as whom to call it. */
export interface ClusterAccess {
  /** `https:`; its path, if it has one, stands before every path of the API. */
  readonly url: URL;
  /** Through which it is reached; left out if directly. */
  readonly proxy?: HttpProxy | undefined;
  readonly tls: ClusterTls;
  /** The bearer token to send now; undefined if another credential, or none, is used. */
  readonly token: () => string | undefined;
}

export interface ClusterTls {
  /** PEM of the authorities to trust; undefined means those that Node brings. */
  readonly ca: string | undefined;
  /** False takes any certificate. */
  readonly verify: boolean;
  /** The name that the certificate must be for, if that is not the URL's host. */
  readonly serverName: string | undefined;
  /** PEM of the client certificate and its key. */
  readonly keyPair: { readonly cert: string; readonly key: string } | undefined;
}
