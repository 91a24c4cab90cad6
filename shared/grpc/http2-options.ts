import { type ClientSessionOptions, constants, type ServerSessionOptions, type Settings } from "node:http2";

/**
 * What HTTP/2 lets a peer send on one stream before it is read. Until a link measures its round trip, this carries
 * 100 MB/s at 5 ms. A stalled stream holds this much at its receiver.
 */
export const streamWindowBytes = 1024 * 1024;

/**
 * What HTTP/2 lets a peer send on all streams together before this process has taken it. Bytes count as taken when
 * they come, also for a paused stream, so one reader that stalls does not hold up the others; this only bounds what
 * is under way, and with it what a small message waits behind.
 */
export const connectionWindowBytes = 4 * 1024 * 1024;

/** Who calls this server: agents (few long streams, later many lanes) or frontends (a stream for each connection). */
export type GrpcServerRole = "agents" | "frontends";

/** Concurrent calls that a session may have from its start. An agent gets more once it has been admitted. */
export const initialCalls: Readonly<Record<GrpcServerRole, number>> = { agents: 4, frontends: 1_000 };

/**
 * RST_STREAM frames by a frontend after which its session is asked to go. Node 20 (nghttp2's rapid-reset guard, 1,000
 * and 33 more a second, not adjustable there) kills a session with all its calls at a little over 1,000.
 */
export const resetsBeforeDrain = 500;

const headerMaxBytes = 64 * 1024;

const settings: Settings = {
  initialWindowSize: streamWindowBytes,
  // Node calls it a setting, and enforces it on what it receives: past it, that stream alone is reset.
  maxHeaderListSize: headerMaxBytes,
  enablePush: false,
};

const sessionOptions = {
  // MB. Node's default of 10 kills the session at about 11,000 idle streams or 51 stalled ones.
  maxSessionMemory: 1_000,
  // Fields in one header block; past it, that stream alone is reset with ENHANCE_YOUR_CALM.
  maxHeaderListPairs: 128,
};

// Where Node has these two (not 20), nghttp2's guard against rapid resets can be moved out of the way: cancelling is
// what the clients here do at the end of every connection.
const resetLimits = { streamResetBurst: 100_000, streamResetRate: 100_000 };

/** Options for `http2.performServerHandshake`. */
export function serverSessionOptions(maxCalls: number): ServerSessionOptions {
  return {
    ...sessionOptions,
    ...resetLimits,
    settings: { ...settings, enablePush: undefined, maxConcurrentStreams: maxCalls } as Settings,
  };
}

/** Options for `http2.connect`. */
export const clientSessionOptions: ClientSessionOptions = {
  ...sessionOptions,
  settings,
  // What to count on before the server's SETTINGS came. A call is opened after them, so it never matters.
  peerMaxConcurrentStreams: 100,
};

/** Response headers that carry messages: the trailers follow. Node's date field is of no use to gRPC. */
export const respondOptions = { waitForTrailers: true, sendDate: false };

/** Response headers that are at once the end of the call. */
export const respondAndEndOptions = { endStream: true, sendDate: false };

export const resetCodes = {
  none: constants.NGHTTP2_NO_ERROR,
  cancel: constants.NGHTTP2_CANCEL,
} as const;
