// A run's page as it lives. Everything in it was written, and escaped, by the server; this puts pieces in place.
// In a product's frame the token stands behind the # of the address, and is kept in memory only.
const root = document.getElementById("run");
const base = root.dataset.base;
const framed = "framed" in root.dataset;
const token = framed && new URLSearchParams(location.hash.slice(1)).get("view_token");
const OFTEN = 250; // ms between two looks at what stands beside
const CHECKS = 15_000; // ms between two looks at checks that have not ended
const SILENCE = 40_000; // ms; a stream that is open says something every 15 s
const LONGEST = 10_000; // ms between two tries

if (token) history.replaceState(null, "", location.pathname + location.search);
async function ask(path, options = {}) {
  const answer = await fetch(`${base}/${path}`, {
    ...options,
    headers: { "linkspan-page": "1", ...(token && { authorization: `Bearer ${token}` }), ...options.headers },
  });
  if (answer.status === 401) tell("failed", { code: "unauthenticated" }); // the product's page has a new token made
  return answer;
}
const tell = (name, more = {}) => framed && parent !== window
  && parent.postMessage({ type: `linkspan:${name}`, ...more }, document.referrer ? new URL(document.referrer).origin : "*");
const part = (id) => document.getElementById(id);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const reached = (answer) => Boolean(answer) && answer.status < 500;
// Does what answers whether it reached the server until it does.
async function until(work) {
  for (let pause = 500; !(await work()); pause = Math.min(pause * 2, LONGEST)) await wait(pause);
}

async function load(path, place) {
  const answer = await ask(path);
  if (answer.ok && place) place.innerHTML = await answer.text();
  return answer;
}

// Words that somebody is typing stay, whatever else is written anew. Answers whether the server was reached.
async function renew() {
  const place = part("beside");
  const answer = await ask("beside").catch(() => null);
  const text = answer?.ok && await answer.text().catch(() => null);
  if (!text) return reached(answer) && !answer.ok;
  const typed = [...place.querySelectorAll("textarea, input[type=text]")].map(({ id, value }) => [id, value]);
  const { activeElement: active } = document;
  const focus = place.contains(active) && (active.id || active.textContent);
  const checked = part("checks");
  place.innerHTML = text;
  if (checked) part("checks")?.replaceWith(checked);
  else checks();
  for (const [id, value] of typed) if (value && part(id)) part(id).value = value;
  if (focus) (part(focus) ?? [...place.querySelectorAll("button")].find((each) => each.textContent === focus))?.focus();
  tell("state", { state: part("state")?.textContent });
  return true;
}

// Under whoever reads them files stay open or closed and where they are, with the focus. What a large change does to an
// open one is asked for before anything is put in place. Answers whether the server was reached.
let asked = 0;
let placed = 0;
const named = (place) => new Map([...place.querySelectorAll("details")].map((file) => [file.dataset.path, file]));
async function renewFiles() {
  const turn = ++asked;
  const answer = await ask("changes").catch(() => null);
  const text = answer?.ok && await answer.text().catch(() => null);
  if (!text) return reached(answer) && !answer.ok;
  const made = document.createRange().createContextualFragment(text);
  const files = named(made);
  const place = part("changes");
  await Promise.all([...named(place)].map(([path, { open }]) => open && files.get(path)?.dataset.file && fill(files.get(path))));
  if (turn < placed) return true;
  placed = turn;
  const before = named(place);
  const { activeElement: active } = document;
  const focus = place.contains(active) && active;
  const around = focus && focus.closest("details");
  const first = place.getBoundingClientRect().top < 0
    && [...before.values()].find((file) => file.getBoundingClientRect().bottom > 0);
  const top = first && first.getBoundingClientRect().top;
  const lefts = [];
  for (const [path, { open }] of before) {
    const [old, pre] = [before, files].map((all) => all.get(path)?.querySelector("pre"));
    if (files.has(path)) files.get(path).open = open;
    if (!old || !pre || !open) continue;
    pre.style.containIntrinsicHeight = `auto ${old.offsetHeight}px`; // until it is drawn
    if (old.scrollLeft) lefts.push([pre, old.scrollLeft]);
  }
  place.replaceChildren(made);
  for (const [pre, left] of lefts) pre.scrollLeft = left;
  const now = around ? files.get(around.dataset.path)?.querySelector(focus.localName)
    : focus && [...place.querySelectorAll("a")].find((each) => each.textContent === focus.textContent);
  now?.focus?.({ preventScroll: true });
  const there = first && files.get(first.dataset.path);
  if (there) scrollBy(0, there.getBoundingClientRect().top - top);
  return true;
}

const soon = (work) => {
  let due;
  return () => { due ??= setTimeout(() => { due = undefined; until(work); }, OFTEN); };
};
const beside = soon(renew);
const changes = soon(renewFiles);

// What the forge says of the pull request: asked when there is one, and again until it was shown, while a check goes on
// and while there may be more of them.
let later;
async function checks() {
  clearTimeout(later);
  if (!document.hidden && part("checks")) await load("checks", part("checks")).catch(() => null);
  if (part("checks")?.querySelector("[data-again]")) later = setTimeout(checks, CHECKS);
}

const atEnd = () => innerHeight + scrollY >= part("entries").getBoundingClientRect().bottom + scrollY - 80
  && innerHeight + scrollY <= part("entries").getBoundingClientRect().bottom + scrollY + innerHeight;
const find = (key) => part("entries").querySelector(`[data-key="${CSS.escape(key)}"]`);
const does = {
  entry({ key, html }) {
    const made = document.createRange().createContextualFragment(html);
    const old = find(key);
    const follow = !old && atEnd();
    if (old) old.replaceWith(made);
    else part("entries").append(made);
    if (follow) part("entries").lastElementChild.scrollIntoView({ block: "nearest" });
  },
  text({ key, text }) {
    const old = find(key);
    if (old && "open" in old.dataset) old.querySelector("[data-text]")?.append(text);
  },
  usage({ text }) { part("usage").textContent = text; },
  beside,
  changes,
};

// Server-sent events over fetch, which can show a token; what is lost is asked for again by its number.
async function follow() {
  let last = part("live").dataset.last;
  let pause = 500;
  for (;;) {
    const silent = new AbortController();
    let due;
    const heard = () => { clearTimeout(due); due = setTimeout(() => silent.abort(), SILENCE); };
    try {
      heard();
      const answer = await ask(`stream?after=${last}`, { headers: { accept: "text/event-stream" }, signal: silent.signal });
      if ([401, 403, 404].includes(answer.status)) {
        tell("failed", { code: "unauthenticated" });
        return pulse("Load the page again to go on watching.");
      }
      if (!answer.ok) throw new Error(answer.statusText);
      pulse("Live");
      pause = 500;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        heard();
        const messages = (rest + value).split("\n\n");
        rest = messages.pop();
        for (const message of messages) {
          const read = Object.fromEntries(message.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
          if (read.event === "end") return over();
          if (read.event) does[read.event]?.(JSON.parse(read.data));
          if (read.id) last = read.id;
        }
      }
    } catch { /* the connection is gone: again, in a moment */ } finally { clearTimeout(due); }
    pulse("The connection is lost. Trying again …");
    await wait(pause);
    pause = Math.min(pause * 2, LONGEST);
  }
}

function pulse(text) {
  const place = part("pulse");
  if (place && place.textContent !== text) place.textContent = text;
  place?.classList.toggle("lost", text !== "Live");
}

async function over() {
  part("pulse")?.remove();
  await until(renew);
  await until(renewFiles);
  await checks();
  tell("ended", { state: part("state")?.textContent });
}

addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  const path = form.getAttribute("action").slice(base.length + 1);
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  const answer = await ask(path, { method: "POST", body }).catch(() => null);
  if (answer?.status === 200) return location.assign((await answer.json()).onward);
  for (const button of form.querySelectorAll("button")) button.disabled = false;
  const told = answer?.ok ? "" : (await answer?.json().catch(() => null))?.error;
  if (answer?.ok) form.reset();
  await renew();
  say(answer?.ok ? "" : told ? [told.message, told.hint].filter(Boolean).join(". ") : "That did not reach the server.");
});

function say(text) {
  let place = part("fault");
  if (!place && text) {
    place = Object.assign(document.createElement("p"), { id: "fault", className: "fault", role: "alert" });
    part("beside").append(place);
  }
  if (place) Object.assign(place, { textContent: text, hidden: !text });
}

addEventListener("click", async ({ target }) => {
  if (target.matches?.(".earlier")) {
    const height = document.documentElement.scrollHeight;
    const answer = await ask(`earlier?before=${target.dataset.before}`);
    if (!answer.ok) return;
    const made = document.createRange().createContextualFragment(await answer.text());
    const first = made.querySelector("button") ?? made.querySelector("article");
    target.replaceWith(made);
    scrollBy(0, document.documentElement.scrollHeight - height);
    first?.focus?.();
  } else if (target.matches?.(".list a")) {
    const file = part(target.hash.slice(1));
    if (file) file.open = true;
  }
});

// What a large change does to a file is fetched when the file is opened.
async function fill(details) {
  const { file } = details.dataset;
  delete details.dataset.file;
  const answer = await ask(`changes?file=${file}`).catch(() => null);
  const place = details.querySelector(".note");
  if (answer?.ok) place.outerHTML = await answer.text();
  else Object.assign(place, { textContent: "It could not be loaded. Load the page again." });
}
addEventListener("toggle", ({ target }) => target.open && target.dataset.file && fill(target), true);

if (framed) {
  addEventListener("keydown", ({ key }) => key === "Escape" && tell("escape"));
  const answer = token ? await load("body", root) : null;
  if (answer?.ok) tell("ready");
  else {
    const told = await answer?.json().catch(() => null);
    root.querySelector("[role=status]").textContent = told?.error?.message ?? "This run cannot be shown here.";
    tell("failed", { code: told?.error?.code ?? "unauthenticated" });
  }
}
checks();
if (part("live") && "live" in part("live").dataset) follow();
