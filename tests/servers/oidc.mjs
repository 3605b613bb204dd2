// An authorization server that forgives nothing: access tokens live for seconds, clocks may not differ,
// refresh tokens rotate, and one that comes twice ends the grant.
// node oidc.mjs MODULE PORT LIFETIME REDIRECT_URI...
const [module, port, lifetime, ...redirects] = process.argv.slice(2);
const { Provider } = await import(module);
const counts = { refreshed: 0, refused: 0, revoked: 0 };

const client = (id, more) => ({
  client_id: id,
  redirect_uris: redirects,
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
  ...more,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client("linkspan", { client_secret: "linkspan-secret-canary" }),
    client("public", { token_endpoint_auth_method: "none" }),
  ],
  clockTolerance: 0,
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  ttl: {
    AccessToken: Number(lifetime), Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400,
    Session: 86400,
  },
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@acme.example`, email_verified: true }) }),
});
const isRefresh = (ctx) => ctx.oidc.params?.grant_type === "refresh_token";
provider.on("grant.success", (ctx) => { counts.refreshed += isRefresh(ctx); });
provider.on("grant.error", (ctx) => { counts.refused += isRefresh(ctx); });
provider.on("grant.revoked", () => { counts.revoked += 1; });
provider.use(async (ctx, next) => {
  if (ctx.path === "/counts") ctx.body = counts;
  else await next();
});
provider.listen(Number(port), "127.0.0.1");
