import { callSuite } from "./call-suite.ts";
import { grpcJs } from "./grpc-js-peer.ts";
import { hawser } from "./hawser-peer.ts";

callSuite(hawser, grpcJs);
callSuite(grpcJs, hawser);
callSuite(hawser, hawser);
