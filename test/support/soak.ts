/** The short form of a long test, as CI runs it, or the full one of `npm run test:soak`. */
export const inSoak = <T>(short: T, full: T): T => (process.env.HAWSER_SOAK ? full : short);
