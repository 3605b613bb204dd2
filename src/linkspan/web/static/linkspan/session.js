// <linkspan-session>: a conversation with Codex in a product's page. Its attributes, events, parts and variables:
// docs/embedding.md. It speaks the app-server's protocol with Linkspan. Everything it shows is text, never markup.
import { LinkspanElement, button, make } from "./elements.js";

const OFTEN = 500; // ms between two tries to connect; twice as long after each
const LONGEST = 30_000;
const OVER = 4401; // the token's minutes are over
const STYLE = `
:host { display: flex; flex-direction: column; gap: .5rem; height: 32rem }
.log { flex: 1; display: block; min-height: 0; overflow: auto; padding: .5rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: var(--linkspan-radius, .5rem) }
.log:empty::before { content: attr(data-empty); opacity: .75 }
.log > div { display: block; margin: 0 0 .6rem; white-space: pre-wrap; overflow-wrap: anywhere }
.log > .said { width: fit-content; max-width: 85%; margin-left: auto; box-sizing: border-box; padding: .4rem .7rem; border-radius: var(--linkspan-radius, .5rem);
  background: color-mix(in srgb, currentColor 10%, transparent) }
.asks { padding: .5rem .7rem; border: 2px solid var(--linkspan-accent, #0b6b70); border-radius: var(--linkspan-radius, .5rem) }
pre, code { margin: .3rem 0; font: .875em/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
pre { max-height: 12rem; overflow: auto }
summary { cursor: pointer }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end }
textarea { flex: 1 1 12rem; min-width: 0; padding: .4rem .6rem; border: 1px solid color-mix(in srgb, currentColor 60%, transparent); border-radius: var(--linkspan-radius, .5rem);
  font: inherit; color: inherit; background: none; resize: vertical }
::placeholder { color: inherit; opacity: .7 }`;
let sheet;

const DID = { completed: "Changed", declined: "Did not change", failed: "Could not change" };
const short = (path) => path.replace(/^\/workspace\//, "");
// Signs that nobody sees, and those that turn the direction of others, are shown: what is allowed has to be what is read.
const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{DI}\u2028\u2029]/gu, (sign) => (
  "\n\t".includes(sign) ? sign : `<U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>`));
const diffOf = (changes) => changes.map(({ path, diff }) => `${short(path)}\n${diff ?? ""}`).join("\n");
const plain = (command) => command.replace(/^\S*\/(?:ba|z|)sh -l?c (["'])((?:(?!\1).)*)\1$/s, "$2"); // without Codex's shell around it
const textOf = ({ content }) => content.map(({ text }) => text ?? "").join("\n");

/** A conversation: what was said and done, questions where they stand, and a box to say something. */
export class LinkspanSession extends LinkspanElement {
  #socket;
  #waiting = new Map(); // what was asked and not answered, by number
  #items = new Map();
  #questions = new Map();
  #number = 0;
  #thread;
  #turn;

  begin() {
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(STYLE);
    this.shadowRoot.adoptedStyleSheets = [...this.shadowRoot.adoptedStyleSheets, sheet];
    this.log = make("div", { part: "log", className: "log", role: "log", tabIndex: 0, ariaLabel: "What was said and done" });
    this.log.dataset.empty = this.word("empty", "Nothing was said yet.");
    const label = this.word("label", "Say something to Codex");
    this.words = make("textarea", { part: "words", rows: 2, maxLength: 20_000, ariaLabel: label, placeholder: label });
    this.words.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#say();
    };
    this.sending = make("button", { type: "submit", part: "button", className: "main" }, "Send");
    this.stopping = button("stop", () => this.#ask("turn/interrupt", { threadId: this.#thread, turnId: this.#turn }), "Stop", { hidden: true });
    this.renewing = button("new", () => this.#show(null), "New conversation", { hidden: true });
    const form = make("form", { part: "form", onsubmit: (event) => (event.preventDefault(), this.#say()) },
      this.words, this.sending, this.stopping, this.renewing);
    this.shadowRoot.replaceChildren(this.log, this.status, form);
    this.#waiting.clear();
    this.#keep();
  }

  /** Connects, and again whenever the connection is lost, until the element leaves the page. */
  async #keep() {
    const { signal } = this.over; // put elsewhere in its page it begins anew, and this ends
    for (let pause = OFTEN, anew = false; !signal.aborted; pause = Math.min(pause * 2, LONGEST)) {
      this.#ready(false);
      try {
        const { url, token } = await this.view(anew);
        if (signal.aborted) return;
        const [tenant] = url.pathname.match(/^\/t\/[^/]+/);
        const socket = this.#socket = new WebSocket(`${url.origin.replace(/^http/, "ws")}${tenant}/codex`, ["linkspan.codex", token]);
        const ended = new Promise((resolve) => { socket.onclose = resolve; });
        signal.addEventListener("abort", () => socket.close());
        socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
        let opened = false;
        await Promise.race([ended, new Promise((resolve) => { socket.onopen = () => resolve(opened = true); })]);
        if (opened) {
          pause = OFTEN / 2;
          this.#begun().catch((error) => this.fault(error));
        }
        const { code } = await ended;
        if (signal.aborted) return;
        anew = !opened || code === OVER; // a handshake that failed does not say why
        for (const { reject } of this.#waiting.values()) reject(new Error("The connection was lost"));
        this.#waiting.clear();
        this.say(opened ? "The connection is made anew" : "Linkspan cannot be reached, or does not let this page in", true);
        if (code === OVER) continue;
      } catch (error) {
        if (signal.aborted) return;
        this.fault(error);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async #begun() {
    await this.#call("initialize", { clientInfo: { name: "linkspan-session", version: "1" } });
    const { data: [latest] } = this.#thread === undefined ? await this.#call("thread/list", { limit: 1 }) : { data: [] };
    const thread = this.#thread ?? latest?.id;
    if (thread) this.#show((await this.#call("thread/resume", { threadId: thread })).thread);
    else this.#show(null);
    this.#ready(true);
    this.tell("ready", { thread: this.#thread });
  }

  #call(method, params) {
    return new Promise((resolve, reject) => {
      const id = ++this.#number;
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  async #ask(method, params) {
    try { return await this.#call(method, params); } catch (error) { this.fault(error); }
  }

  async #say() {
    const text = this.words.value.trim();
    if (!text || this.sending.ariaDisabled === "true") return;
    const input = [{ type: "text", text }];
    this.#ready(false);
    try {
      if (this.#turn) await this.#call("turn/steer", { threadId: this.#thread, expectedTurnId: this.#turn, input });
      else {
        this.say("It is being said", true);
        this.#thread ??= (await this.#call("thread/start", {})).thread.id;
        await this.#call("turn/start", { threadId: this.#thread, input });
      }
      this.words.value = "";
    } catch (error) { this.fault(error); }
    this.#ready(this.#socket.readyState === WebSocket.OPEN);
  }

  #ready(ready) { this.sending.setAttribute("aria-disabled", !ready); } // `disabled` would lose the focus

  /** Shows a thread as it is now; null: one that nothing was said in yet. */
  #show(thread) {
    if (!thread && this.#thread) this.#ask("thread/unsubscribe", { threadId: this.#thread });
    this.#thread = thread?.id ?? null;
    this.#items.clear();
    this.#questions.clear();
    this.log.replaceChildren();
    this.#goesOn(null);
    this.say("");
    for (const turn of thread?.turns ?? []) {
      for (const item of turn.items) this.#item(item, turn.id);
      this.#turned(turn);
    }
    this.log.scrollTop = this.log.scrollHeight;
  }

  #goesOn(turn) {
    if (!turn && this.shadowRoot.activeElement === this.stopping) this.words.focus();
    this.#turn = turn;
    this.stopping.hidden = !turn;
    this.renewing.hidden = !!turn || !this.#thread;
  }

  #turned({ id, status, error }) {
    const goes = status === "inProgress";
    this.#goesOn(goes ? id : null);
    const words = { completed: "", interrupted: "It was stopped", failed: error?.message ?? "It failed", inProgress: "Codex is at work" };
    this.say(words[status] ?? "", goes);
    if (!goes) for (const question of [...this.#questions.keys()]) this.#resolved(question);
    this.dataset.status = status;
  }

  #take({ id, method, params, result, error }) {
    if (!method) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(Object.assign(new Error(error.message), { error_type: error.data?.code }));
      else waiting?.resolve(result);
      return;
    }
    if (params.threadId && params.threadId !== this.#thread) return;
    const atEnd = this.log.scrollTop + this.log.clientHeight > this.log.scrollHeight - 40;
    if (id !== undefined) this.#question(id, method, params);
    else switch (method) {
      case "turn/started": case "turn/completed":
        this.#turned(params.turn);
        this.tell("turn", params.turn);
        break;
      case "item/started": case "item/completed": this.#item(params.item, params.turnId); break;
      case "item/agentMessage/delta": case "item/commandExecution/outputDelta": {
        const text = this.#items.get(`${params.turnId} ${params.itemId}`)?.text;
        if (text) text.textContent += params.delta;
        break;
      }
      case "serverRequest/resolved": this.#resolved(params.requestId); break;
      case "thread/status/changed":
        if (params.status.type === "active") this.say(params.status.activeFlags.length ? "Codex asks you" : "Codex is at work", true);
        break;
      case "warning": this.say(params.message); break;
    }
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  #item(item, turn) {
    const key = `${turn} ${item.id}`;
    let shown = this.#items.get(key);
    if (!shown) {
      shown = { line: make("div", { part: item.type }), text: make("span", {}) };
      if (item.type === "userMessage") shown.line.className = "said";
      if (["commandExecution", "fileChange"].includes(item.type)) {
        shown.text = make("pre", { tabIndex: 0 });
        shown.name = make("code", {});
        shown.line.append(make("details", {}, make("summary", {}, shown.name), shown.text));
      } else if (["userMessage", "agentMessage", "mcpToolCall"].includes(item.type)) shown.line.append(shown.text);
      else return; // what the model thinks, and what only Codex's own pages show
      this.#items.set(key, shown);
      this.log.append(shown.line);
    }
    const { type, changes = [], command = "", status } = shown.item = item;
    if (shown.name) shown.name.textContent = command ? plain(command) : `${DID[status] ?? "Changes"}: ${changes.map(({ path }) => short(path)).join(", ")}`;
    if (type === "userMessage") shown.text.textContent = textOf(item);
    else if (type === "agentMessage") shown.text.textContent = item.text;
    else if (type === "commandExecution") shown.text.textContent = item.aggregatedOutput ?? "";
    else if (type === "fileChange") shown.text.textContent = diffOf(changes);
    else shown.text.textContent = `Used ${item.tool}`;
  }

  #question(id, method, { reason, command, permissions, networkApprovalContext: net, turnId, itemId }) {
    if (this.#questions.has(id)) return;
    const { changes } = this.#items.get(`${turnId} ${itemId}`)?.item ?? {};
    const about = command ?? (net ? `${net.protocol}://${net.host}` : permissions ? JSON.stringify(permissions, null, 1) : changes && diffOf(changes));
    const answer = (decision) => {
      const granted = decision === "accept" ? permissions : {};
      const result = permissions ? { permissions: granted, scope: "turn" } : { decision };
      this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, result }));
    };
    const line = make("div", { part: "question", className: "asks", role: "group", ariaLabel: "Codex asks" },
      make("span", {}, reason ? visible(reason) : "Codex asks whether it may do this."),
      ...(about ? [make("pre", { tabIndex: 0 }, visible(about))] : []),
      make("div", { className: "row" },
        button("accept", () => answer("accept"), "Allow", { className: "main" }), button("decline", () => answer("decline"), "Decline")));
    this.#questions.set(id, line);
    this.log.append(line);
    this.say("Codex asks you", true);
    this.tell("question", { id, method });
  }

  #resolved(id) {
    const line = this.#questions.get(id);
    if (!line) return;
    if (line.contains(this.shadowRoot.activeElement)) this.words.focus();
    line.remove();
    this.#questions.delete(id);
  }
}

globalThis.customElements?.define("linkspan-session", LinkspanSession);
