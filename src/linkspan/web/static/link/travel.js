// The window that goes to a product, seen from the page that has opened it (away.js and back.js are the other
// side): it asks for its ticket, which may not be there yet, and says when it is back.
export class Away {
  constructor(popup, session) {
    this.window = popup;
    this.isAsking = false;
    this.ticket = null;
    this.onback = () => {};
    this.listen = (event) => {
      if (event.origin !== location.origin) return;
      if (event.data?.type === "linkspan:away" && event.source === popup) {
        this.isAsking = true;
        this.#send();
      }
      if (event.data?.type === "linkspan:back" && event.data.session === session) this.onback();
    };
    addEventListener("message", this.listen);
  }

  give(ticket) {
    this.ticket = ticket;
    this.#send();
  }

  stay() {
    this.forget();
    this.window.close();
  }

  forget() {
    removeEventListener("message", this.listen);
  }

  #send() {
    if (!this.isAsking || this.ticket === null) return;
    this.window.postMessage({ type: "linkspan:ticket", ticket: this.ticket }, location.origin);
    this.ticket = null;
  }
}
