import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { Random } from "../../shared/clock.ts";

/**
 * Looks a name up as the system does, and begins at any of its addresses, each time anew. An agent has to meet every server that a name
 * stands for, and many a system gives the same one first each time: the one that /etc/hosts names first, or that glibc takes for the nearest.
 */
export function anyAddress(random: Random): LookupFunction {
  return (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, []);
      const begin = Math.floor(random() * addresses.length);
      const turned = [...addresses.slice(begin), ...addresses.slice(0, begin)];
      if (options.all === true) return done(null, turned);
      // Where Node was told not to try the others (--no-network-family-autoselection).
      const [first] = turned;
      done(null, first?.address ?? "", first?.family);
    });
  };
}
