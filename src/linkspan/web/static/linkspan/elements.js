// <linkspan-fix>, <linkspan-run> and <linkspan-connect>. Their attributes, events, parts and variables, and how a
// product's backend gives them their tokens: docs/embedding.md.
import { connect } from "./connect.js";

const PATIENCE = 15_000; // ms that a loaded frame has to say something; one that may not be shown never does
const OFTEN = 1000; // ms between two tries; twice as long after each
const LONGEST = 30_000;
const SILENCE = 40_000; // ms; a stream that is open says something every 15 s
const LOST = ["forbidden", "not_found", "unauthenticated", "invalid_token"]; // which no second try mends
const STYLE = `
:host { display: inline-block; font: var(--linkspan-font, inherit) }
:host([hidden]) { display: none }
:host(linkspan-run) { display: block }
:host(linkspan-run[data-run]) { height: 40rem }
div { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem }
button { min-height: 2.5rem; padding: .4rem 1rem; border: 1px solid; cursor: pointer; font: inherit; font-weight: 600;
  border-radius: var(--linkspan-radius, .5rem); color: inherit; background: none }
.main { border-color: transparent; color: var(--linkspan-on-accent, #fff); background: var(--linkspan-accent, #0b6b70) }
[aria-disabled=true] { cursor: default; filter: grayscale(.7) }
[hidden] { display: none }
:focus-visible { outline: 3px solid var(--linkspan-focus, light-dark(#0b57d0, #a8c7fa)); outline-offset: 2px }
a { color: var(--linkspan-link, LinkText); font-weight: 600 }
a, button, p { overflow-wrap: anywhere }
p { margin: 0 }
.works::before { content: "●"; margin-right: .4em; animation: pulse 1.4s infinite alternate }
@keyframes pulse { to { opacity: .25 } }
@media (prefers-reduced-motion: reduce) { .works::before { animation: none } }
dialog { width: min(72rem, 96vw); height: 92vh; padding: .4rem; border: 0; border-radius: var(--linkspan-radius, .5rem) }
dialog::backdrop { background: #0008 }
dialog button { margin-bottom: .5rem }
dialog linkspan-run { height: calc(100% - 3rem) }
iframe { width: 100%; height: 100%; border: 0 }`;
let sheet;

const failure = (error_type, message) => Object.assign(new Error(message), { error_type });
const make = (tag, { part, ...more }, ...inside) => {
  const made = Object.assign(document.createElement(tag), more);
  if (part) made.setAttribute("part", part);
  made.append(...inside);
  return made;
};
const button = (part, onclick, text, more) => make("button", { type: "button", part, onclick, ...more }, text);

class Linkspan extends (globalThis.HTMLElement ?? class {}) {
  #view;

  connectedCallback() {
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(STYLE); // which no policy forbids
    (this.shadowRoot ?? this.attachShadow({ mode: "open", delegatesFocus: true })).adoptedStyleSheets = [sheet];
    this.over = new AbortController();
    this.status = make("p", { part: "status", role: "status" });
    queueMicrotask(() => this.isConnected && this.begin()); // until then a script may set `getToken`
  }

  disconnectedCallback() {
    this.over.abort();
    this.#view = null; // put into a page again, its minutes may be over
  }

  tell(name, detail, cancelable) {
    return this.dispatchEvent(new CustomEvent(`linkspan-${name}`, { detail, cancelable, bubbles: true, composed: true }));
  }

  say(text, works) {
    this.status.className = works ? "works" : "";
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  fault({ error_type: code = "connection_error", message }) {
    if (this.over.signal.aborted) return;
    this.tell("error", { code, message });
    this.say(message);
  }

  word(name, other) { return this.getAttribute(name) ?? other; }

  row(...inside) { this.shadowRoot.replaceChildren(make("div", { part: "row" }, ...inside, this.status)); }

  /** What the product's backend answers: a token or its address, or the thing in what Linkspan answered it. */
  async fetched() {
    const asked = { id: this.word("entity-id", this.id), ...Object.fromEntries(["entity", "recipe", "run", "integration"].map((name) => [name, this.word(name)])) };
    const answer = await (this.getToken ? this.getToken(asked) : this.#posted(asked));
    return answer.result ?? answer;
  }

  async #posted(asked) {
    const answer = await fetch(this.word("tokens"), {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(asked), signal: this.over.signal,
    });
    const text = await answer.text();
    if (!answer.ok) throw failure("invalid_token", `There is no token for it (${answer.status})`);
    return text[0] === "{" ? JSON.parse(text) : text;
  }

  /** Where the view token is used. */
  view(anew) {
    if (anew) this.#view = null;
    return this.#view ??= this.fetched().then((answer) => {
      const url = new URL(answer.url ?? answer);
      const [path, run] = url.pathname.match(/^(?:\/[^/]+){4}|[^/]+$/g);
      return { url, base: url.origin + path, run, token: new URLSearchParams(url.hash.slice(1)).get("view_token") };
    }).catch((error) => { this.#view = null; throw error; });
  }

  /** Asks Linkspan; a token that is over is made anew, once. */
  async ask(below, options, again) {
    const { base, token } = await this.view(again);
    const headers = { ...options?.headers, authorization: `Bearer ${token}` };
    const answer = await fetch(base + below, { signal: this.over.signal, ...options, headers });
    if (answer.status === 401 && !again) return this.ask(below, options, true);
    if (answer.ok) return answer;
    const { code, message } = (await answer.json().catch(() => ({}))).error ?? {};
    throw failure(code, message ?? `Linkspan answered ${answer.status}`);
  }
}

/** The button: starts a run on a thing of the product, and says how it goes. */
export class LinkspanFix extends Linkspan {
  async begin() {
    this.button = button("button", () => this.#start(), this.word("label", "Fix with Codex"), { className: "main" });
    this.watch = button("watch", () => this.#open(), "Watch", { hidden: true });
    this.result = make("a", { part: "result", hidden: true, target: "_blank", rel: "noopener noreferrer" });
    this.row(this.button, this.watch, this.result);
    this.#busy(true);
    try {
      this.#show(await (await this.ask("")).json());
    } catch (error) { this.fault(error); }
  }

  #busy(busy) { this.button.setAttribute("aria-disabled", busy); } // `disabled` would lose the focus

  #show({ run, recipe, may }) {
    this.may = may.includes("run.start") && recipe.enabled;
    if (run) {
      this.#tell(run);
      if (!run.finished) this.#follow();
    } else {
      this.#busy(!this.may);
      this.say(this.may ? "" : recipe.enabled ? "Nobody has asked for it yet" : "It is turned off");
    }
  }

  async #start() {
    if (this.button.ariaDisabled === "true") return;
    this.#busy(true);
    this.say("It is being asked for", true);
    this.key ??= `${Date.now()}-${Math.random()}`; // pressed again after a failure, it is the same run
    try {
      this.#show(await (await this.ask("", { method: "POST", headers: { "idempotency-key": this.key } })).json());
      this.key = null;
    } catch (error) {
      this.#busy(false);
      this.fault(error);
    }
  }

  #tell(run) {
    const { state, word, step, error, pull_request: made, finished } = this.run = run;
    const again = finished && state !== "succeeded" && this.may;
    this.watch.textContent = finished ? "What it did" : state === "waiting_approval" ? "Look and decide" : "Watch";
    this.watch.hidden = false;
    if (this.shadowRoot.activeElement === this.button && !again) this.watch.focus();
    this.button.hidden = !again;
    this.#busy(!again);
    if (again) this.button.textContent = this.word("again", "Try again");
    this.result.hidden = !made;
    if (made) Object.assign(this.result, { href: made.url, textContent: `Pull request ${made.title}` });
    const now = step && run.tone === "works" && `${step.now ?? "Plan"} (${step.done} of ${step.of} done)`;
    this.say([word, error ?? now].filter(Boolean).join(": "), run.tone === "works");
    this.dataset.state = state;
    this.tell("run", run);
  }

  async #follow() {
    const { signal } = this.over;
    for (let pause = OFTEN; !signal.aborted; pause = Math.min(pause * 2, LONGEST)) {
      const silent = new AbortController();
      let due;
      const heard = () => { clearTimeout(due); due = setTimeout(() => silent.abort(), SILENCE); };
      try {
        heard();
        const answer = await this.ask("/progress", { signal: AbortSignal.any([signal, silent.signal]) });
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ""; ;) {
          const { value, done } = await reader.read();
          if (done) break;
          heard();
          pause = OFTEN;
          const messages = (rest + value).split("\n\n");
          rest = messages.pop();
          for (const message of messages) {
            const data = /^data: (.*)$/m.exec(message);
            if (data) this.#tell(JSON.parse(data[1]));
          }
          if (this.run.finished) return;
        }
      } catch (error) {
        if (LOST.includes(error.error_type)) return this.fault(error);
      } finally { clearTimeout(due); }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  #open() {
    if (!this.tell("watch", this.run, true)) return; // the product's page shows it itself
    const getToken = async () => {
      const { base, token } = await this.view(true); // a frame cannot say that its token is over
      return `${base}/${this.run.id}#view_token=${token}`;
    };
    const dialog = make("dialog", { part: "dialog", ariaLabel: "What Codex does", onclose: () => (dialog.remove(), this.watch.focus()) },
      button("close", () => dialog.close(), "Close"), make("linkspan-run", { getToken }));
    this.shadowRoot.append(dialog);
    dialog.addEventListener("linkspan-escape", () => dialog.close()); // pressed in the frame, whose keys we do not hear
    dialog.showModal();
  }
}

/** A run's page in a frame. */
export class LinkspanRun extends Linkspan {
  async begin(anew) {
    this.shadowRoot.replaceChildren(this.status);
    delete this.dataset.run;
    try {
      const { url, base, token } = await this.view(anew);
      let { run } = await this.view();
      if (!run?.startsWith("run_")) ({ id: run } = (await (await this.ask("")).json()).run ?? {});
      if (!run) throw failure("not_found", "There is no run to show yet");
      const frame = make("iframe", { part: "frame", title: this.title || "What Codex does", referrerPolicy: "strict-origin" });
      const listening = new AbortController();
      const { signal } = listening;
      this.over.signal.addEventListener("abort", () => listening.abort(), { signal });
      let due = setTimeout(() => signal.aborted || this.fault(failure(
        "connection_error", `Nothing came from ${url.origin}. Do the view token's allowed_origins name ${location.origin}?`,
      )), PATIENCE);
      addEventListener("message", ({ source, origin, data }) => {
        if (source !== frame.contentWindow || origin !== url.origin) return;
        const { type, state, code } = data;
        clearTimeout(due);
        if (type === "linkspan:ready") (anew = false, this.tell("ready"));
        else if (type === "linkspan:failed") {
          listening.abort();
          if (code === "unauthenticated" && !anew) this.begin(true);
          else this.fault(failure(code, "This run cannot be shown here"));
        } else this.tell(type.slice(9), { state });
      }, { signal });
      frame.src = `${base}/${run}#view_token=${token}`;
      this.dataset.run = run; // until there is one, there is a line of words and no room for it
      this.shadowRoot.append(frame);
    } catch (error) { this.fault(error); }
  }
}

/** A button that lets somebody link an account. */
export class LinkspanConnect extends Linkspan {
  begin() {
    const press = async () => {
      this.say("");
      try {
        const token = this.fetched().then((answer) => answer.link_token ?? answer);
        const { signal } = this.over;
        const linked = await connect(token, { signal, integration: this.word("integration", undefined), onEvent: (event) => this.tell("event", event) });
        this.say(this.word("done", "It is connected"));
        this.tell("linked", linked);
      } catch (end) {
        if (end === "closed") this.tell("closed");
        else this.fault(end?.message ? end : failure(end, "The browser opened no window"));
      }
    };
    this.row(button("button", press, this.word("label", "Connect an account"), { className: "main" }));
  }
}

export { Linkspan as LinkspanElement, make, button }; // for session.js

for (const made of [LinkspanFix, LinkspanRun, LinkspanConnect]) {
  globalThis.customElements?.define(made.name.replace(/(?=[FRC][a-z]+$)/, "-").toLowerCase(), made);
}
