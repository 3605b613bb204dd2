// All that a product's page has of Linkspan: connect(), and the elements <linkspan-connect>, <linkspan-fix>,
// <linkspan-run> and <linkspan-session>. Types are in linkspan.d.ts, words in docs/embedding.md and docs/linking.md.
// It needs nothing, and nothing is built: this address stays, what is below linkspan/ is its own.
export { connect } from "./linkspan/connect.js";
export { LinkspanConnect, LinkspanFix, LinkspanRun } from "./linkspan/elements.js";
export { LinkspanSession } from "./linkspan/session.js";
