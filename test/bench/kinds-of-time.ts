import type { SelfTime } from "./self-times.ts";

/** Who the code that ran belongs to, from the wire up. Each function of a profile is of the first kind that it fits. */
const kinds: readonly { readonly kind: string; readonly fits: (time: Pick<SelfTime, "name" | "place">) => boolean }[] =
  [
    { kind: "native code, called by the event loop", fits: ({ name }) => name === "(program)" },
    { kind: "garbage collection", fits: ({ name }) => name === "(garbage collector)" },
    { kind: "native code, called by JavaScript", fits: ({ place }) => place === "" },
    { kind: "Node: sockets and TLS", fits: at(/^node:(net|tls|_tls_|dgram|internal\/(net|tls|dgram))/) },
    { kind: "Node: HTTP/2", fits: at(/^node:(http2|internal\/(http2|js_stream_socket))/) },
    { kind: "Node: streams", fits: at(/^node:(stream|internal\/(streams?|stream_base_commons))/) },
    { kind: "Node: all else", fits: at(/^node:/) },
    { kind: "libraries", fits: at(/^node_modules\//) },
    { kind: "Hawser: gRPC on HTTP/2", fits: at(/^dist\/shared\/grpc\//) },
    { kind: "Hawser: packets and lanes", fits: at(/^dist\/shared\/(konnectivity|protobuf|tunnel)\//) },
    { kind: "Hawser: all else", fits: () => true },
  ];

/** Of busy time, by kind: the shares of all kinds, also of those that took none, sum up to 1. */
export function sharesByKind(times: readonly SelfTime[]): ReadonlyMap<string, number> {
  const shares = new Map(kinds.map(({ kind }) => [kind, 0]));
  for (const time of times) {
    const found = kinds.find(({ fits }) => fits(time));
    if (found !== undefined) shares.set(found.kind, (shares.get(found.kind) ?? 0) + time.share);
  }
  return shares;
}

function at(pattern: RegExp) {
  return ({ place }: Pick<SelfTime, "place">) => pattern.test(place);
}
