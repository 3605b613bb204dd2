// Messages to the page that has opened this one: in a frame its parent, else its opener. A message goes to
// exactly one origin, which is one of those that the token names. With `?link_token=` in the address it was
// Truto's script that opened us; it takes the first message that it hears for the result, so it hears no other.
export class Host {
  constructor(params) {
    this.framed = window.parent !== window;
    // In the same window we took the place of who asked: an opener is then that page's, and none of ours.
    const isAlone = params.get("iframe") === "same";
    this.window = this.framed ? window.parent : isAlone ? null : window.opener;
    this.isTruto = params.get("dialect") === "truto" || params.has("link_token");
    this.origins = null;
    this.greeted = null;
    this.isDialog = false;
    this.told = params.get("parent");
    addEventListener("message", (event) => {
      if (event.source !== this.window || event.data?.type !== "linkspan:hello") return;
      this.greeted = event.origin;
      this.isDialog = event.data.dialog === true;
    });
  }

  allow(origins) {
    this.origins = origins;
  }

  get parent() {
    const above = this.framed ? location.ancestorOrigins?.[0] : null;
    return this.greeted ?? above ?? originOf(document.referrer) ?? this.told;
  }

  get targets() {
    const known = this.parent;
    if (this.origins === null) return known ? [known] : [];
    return this.origins.includes(known) ? [known] : this.origins;
  }

  send(message) {
    if (!this.window) return;
    for (const origin of this.targets) this.window.postMessage(message, origin);
  }

  ready() {
    if (!this.isTruto) this.send({ type: "linkspan:ready" });
  }

  event(name, more = {}) {
    if (!this.isTruto) this.send({ type: "linkspan:event", name, ...more });
  }

  success(result) {
    const told = {
      result: "success",
      integration: result.integration,
      integrated_account_id: result.integrated_account_id,
    };
    this.send(this.isTruto ? { ...told, is_truto: true } : { type: "linkspan:success", ...told });
  }

  error(failure) {
    const { error_type, message } = failure;
    this.send(
      this.isTruto
        ? { result: "error", error: message, error_type, is_truto: true }
        : { type: "linkspan:error", error_type, message },
    );
  }

  closed() {
    if (this.isTruto && !this.framed) return window.close();
    this.send(this.isTruto ? "closed" : { type: "linkspan:closed" });
    if (!this.framed) window.close();
  }
}

function originOf(url) {
  try {
    const { origin } = new URL(url);
    return origin === "null" || origin === location.origin ? null : origin;
  } catch {
    return null;
  }
}
