// Linking an account, step by step: choose a product, say how, and see what came of it. What is true is what
// the server says; this page asks it again whenever something may have happened.
import { Host } from "./host.js";
import { ask, Server } from "./server.js";
import { Away } from "./travel.js";
import * as views from "./views.js";

const FORMATS = {
  api_key: ["bearer", "header", "query", "basic"],
  oauth2: ["oauth2", "github_app"],
  oauth2_client_credentials: ["client_credentials"],
};
const EVERY = 1_500;
const GRACE = 2_000;
const BEFORE_GOING_ON = 2_500;
const params = new URLSearchParams(location.search);
const host = new Host(params);
const close = document.getElementById("close");
let server, session;

// The beginning -----------------------------------------------------------------------------------------------

async function begin() {
  const { stage } = document.body.dataset;
  const behind = location.hash.slice(1);
  if (behind) history.replaceState(null, "", location.pathname + location.search);
  close.addEventListener("click", leave);
  close.hidden = !host.window;
  document.documentElement.classList.toggle("framed", host.framed);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && host.isDialog && event.target.type !== "search") leave();
  });
  if (stage === "failed") return failedForGood(serverFailure());
  try {
    if (stage === "loading") return await open(tokenIn(behind) ?? params.get("link_token"));
    server = new Server(params.get("session"), new URLSearchParams(behind).get("handle"));
    session = await server.show();
  } catch (failure) {
    return failedForGood(failure);
  }
  host.allow(session.origins);
  host.ready();
  host.event("opened");
  render();
}

function tokenIn(behind) {
  return behind.startsWith("lsk_link_") ? behind : new URLSearchParams(behind).get("link_token");
}

async function open(token) {
  if (!token) {
    throw {
      error_type: "invalid_token",
      message: "This page is opened with a link.",
      hint: "Open the link that you were given once more.",
    };
  }
  const asked = { link_token: token, framed: host.framed, parent: host.framed ? host.parent : null };
  const { id, handle } = await ask("POST", "/link-session", asked);
  const next = new URL(location.href);
  if (host.isTruto) next.searchParams.set("dialect", "truto");
  next.searchParams.delete("link_token");
  next.searchParams.set("session", id);
  if (host.window && host.parent) next.searchParams.set("parent", host.parent);
  next.hash = handle ? `handle=${handle}` : "";
  location.replace(next);
}

function serverFailure() {
  const message = document.getElementById("message").textContent;
  return { error_type: document.body.dataset.errorType, message };
}

function failedForGood(failure) {
  host.error(failure);
  if (document.body.dataset.stage === "failed") return;
  views.show("This link does not work", views.fault(failure), session ? foot() : null);
}

function leave() {
  if (session?.status === "linked" && session.failure) host.error(session.failure);
  if (session?.status === "linked" && !host.framed) return window.close();
  host.closed();
}

// What is shown follows from what the server says ---------------------------------------------------------------

function render() {
  if (session.status === "linked") return session.failure ? unfinished() : done();
  if (session.status === "over") {
    const failure = {
      error_type: "invalid_token",
      message: "This link is over.",
      hint: "It works for a limited time. Ask for a new one where you got it.",
    };
    return failedForGood(failure);
  }
  const wanted = session.relink?.integration ?? session.failure?.integration ?? params.get("integration");
  if (wanted) {
    const found = session.integrations.find((each) => each.name === wanted);
    if (found) return form(found, { failure: session.failure });
    return failedForGood({ error_type: "invalid_integration", message: `This link is not for ${wanted}.` });
  }
  choose();
}

function offered() {
  const only = params.get("integrations")?.split(",").map((name) => name.trim());
  return session.integrations.filter((each) => !only || only.includes(each.name));
}

function choose() {
  const integrations = offered();
  if (integrations.length === 1) return form(integrations[0]);
  if (!integrations.length) {
    return failedForGood({ error_type: "invalid_integration", message: "There is nothing to connect here." });
  }
  views.show("What do you want to connect?", whose(), ...views.catalogue(integrations, (each) => form(each)), foot());
}

function foot() {
  if (host.window || !session.redirect) return null;
  return views.h("p", { class: "foot" }, views.h("a", { href: session.redirect }, `Back to ${session.redirect_host}`));
}

function waysOf(integration) {
  const format = params.get("auth_format");
  const wanted = FORMATS[format] ?? [format];
  const fitting = integration.ways.filter((way) => !format || wanted.includes(way.type));
  return fitting.length ? fitting : integration.ways;
}

// How -----------------------------------------------------------------------------------------------------------

function form(integration, { failure = null, type = null, entered = {} } = {}) {
  if (!failure) host.event("selected", { integration: integration.name });
  const ways = waysOf(integration);
  const way = ways.find((each) => each.type === type) ?? ways[0];
  const change = (next) => {
    form(integration, { type: next, entered: { ...entered, ...typed() } }); // what only another way asks is kept
    document.querySelector("input[name=way]:checked").focus(); // arrow keys go on from here
  };
  const wrong = failure?.fields ?? {};
  const isConsent = way.kind === "consent";
  const title = session.relink ? `Connect ${integration.title} again` : `Connect ${integration.title}`;
  const inputs = [
    ...integration.settings.filter((setting) => setting.name in way.settings).map((setting) =>
      views.field({
        id: `settings.${setting.name}`,
        title: setting.title,
        note: setting.description || (setting.type === "origin" ? "Such as https://desk.example" : null),
        wrong: wrong[`settings.${setting.name}`],
        type: setting.type === "origin" ? "url" : "text",
        required: way.settings[setting.name],
        optional: !way.settings[setting.name],
        value: entered[`settings.${setting.name}`] ?? setting.value,
      }),
    ),
    ...way.fields.map((each) =>
      views.field({
        id: `secrets.${each.name}`,
        title: each.title,
        wrong: wrong[each.name],
        type: each.secret ? "password" : "text",
        required: each.required,
        value: entered[`secrets.${each.name}`] ?? "",
      }),
    ),
  ];
  const scopes = way.scopes.length
    ? views.h("p", { class: "scopes" }, `${integration.title} will ask you for: ${way.scopes.join(", ")}`)
    : null;
  const canGoBack = !params.has("no_back") && !session.relink && offered().length > 1;
  const submit = (event) => {
    event.preventDefault();
    attempt(integration, way, typed(), false);
  };
  views.show(
    title,
    whose(),
    relinking(),
    failure ? trouble(integration, way, failure, entered) : null,
    ...views.abilities(session.product, integration.abilities),
    ways.length > 1
      ? views.radios("How", "way", ways.map((each) => ({ value: each.type, label: each.title })), way.type, change, "ways")
      : null,
    views.h(
      "form",
      { onsubmit: submit, novalidate: Object.keys(wrong).length > 0 },
      ...inputs,
      views.facts(integration.given),
      views.help(way.help_url, integration.title),
      scopes,
      views.buttons(
        views.button(isConsent ? `Continue to ${integration.title}` : "Connect", null, { primary: true, type: "submit" }),
        canGoBack ? views.button("Back", choose) : null,
      ),
    ),
    foot(),
  );
  document.querySelector("[aria-invalid]")?.focus();
}

/** Somebody may have been sent here by another: whose account it will be is said before anything is entered. */
function whose() {
  const { person, tenant } = session;
  const of = person ? [views.h("strong", {}, person), " of ", views.h("strong", {}, tenant)] : [views.h("strong", {}, tenant)];
  return views.h("p", { class: "whose" }, "For ", ...of);
}

function relinking() {
  if (!session.relink?.identity) return null;
  return views.h("p", {}, "It is connected as ", views.h("strong", {}, session.relink.identity), ".");
}

function typed() {
  const found = {};
  for (const input of document.querySelectorAll("#view input[name*='.']")) found[input.name] = input.value;
  return found;
}

function asked(integration, way, entered, confirmed, chosen = {}) {
  const settings = {};
  const secrets = {};
  for (const [name, value] of Object.entries(entered)) {
    if (name.startsWith("settings.")) settings[name.slice(9)] = value;
  }
  for (const { name } of way.fields) secrets[name] = entered[`secrets.${name}`] ?? "";
  return {
    integration: integration.name,
    method: way.type,
    settings: { ...settings, ...chosen },
    secrets,
    confirmed,
  };
}

/** What is shown of a failure: words, and what can be chosen now. */
function trouble(integration, way, failure, entered) {
  if (failure.code === "identity_changed" && session.may_change_identity) {
    const other = views.button(`Connect ${failure.given} instead`, () => attempt(integration, way, entered, true));
    return views.h("div", {}, views.fault(failure), views.buttons(other));
  }
  return views.fault(failure);
}

function attempt(integration, way, entered, confirmed, chosen = {}) {
  const wanted = asked(integration, way, entered, confirmed, chosen);
  if (way.kind === "consent") return consent(integration, way, entered, wanted);
  return enter(integration, way, entered, wanted);
}

async function enter(integration, way, entered, wanted) {
  host.event("verifying", { integration: integration.name });
  views.show(`Connecting ${integration.title}`, views.waiting(`${integration.title} is asked whether this is right…`));
  try {
    session = await server.link(wanted);
    render();
  } catch (failure) {
    failed(integration, way, entered, failure);
  }
}

function failed(integration, way, entered, failure) {
  const { error_type, message } = failure;
  if (error_type === "invalid_token") return failedForGood(failure);
  host.event("failed", { integration: integration.name, error_type, message });
  if (failure.choices) return among(integration, failure, (chosen) => attempt(integration, way, entered, false, chosen));
  form(integration, { failure, type: way.type, entered });
}

// In a window of its own ------------------------------------------------------------------------------------------

/** The window is opened here, in the click, before anything is asked: otherwise browsers block it. */
function consent(integration, way, entered, wanted) {
  const inWindow = Boolean(host.window);
  const popup = inWindow ? window.open("/connect-account/away", "", "popup,width=600,height=760") : null;
  if (inWindow && !popup && host.framed) {
    const failure = {
      error_type: "connection_error",
      message: "Your browser has blocked the window.",
      hint: "Allow windows of this page, then try again.",
    };
    return failed(integration, way, entered, failure);
  }
  host.event("authorizing", { integration: integration.name });
  const away = popup ? new Away(popup, session.id) : null;
  views.show(`Connecting ${integration.title}`, views.waiting("One moment…"));
  const go = async () => {
    const { ticket } = await server.consent(wanted);
    if (away) {
      away.give(ticket);
      return wait(integration, way, entered, away);
    }
    const { url } = await ask("POST", "/link-session/depart", { ticket });
    sessionStorage.removeItem("linkspan-window");
    sessionStorage.setItem("linkspan-page", location.search);
    location.assign(url);
  };
  go().catch((failure) => {
    away?.stay();
    failed(integration, way, entered, failure);
  });
}

/** Ask the server until it says how it went. A window that seems closed may only be cut off from us (COOP). */
function wait(integration, way, entered, away) {
  let isOver = false;
  let closedAt = null;
  const again = () => {
    stop();
    away.stay();
    form(integration, { type: way.type, entered });
  };
  const showWaiting = (isClosed) => {
    const text = isClosed
      ? `The window to ${integration.title} was closed, or went out of sight. If it is still there, go on in it.`
      : `Go on in the window of ${integration.title}. This page goes on by itself.`;
    views.show(
      `Connecting ${integration.title}`,
      isClosed ? views.h("p", { role: "status" }, text) : views.waiting(text),
      views.buttons(
        isClosed ? null : views.button("Show the window", () => away.window.focus()),
        views.button(isClosed ? "Try again" : "Cancel", again, { primary: isClosed }),
      ),
    );
  };
  const look = async () => {
    if (isOver) return;
    let found;
    try {
      found = await server.show();
    } catch {
      return;
    }
    const hasEnded = found.status === "linked" || found.status === "over";
    if (isOver || (!hasEnded && !found.failure)) return;
    stop();
    session = found;
    if (hasEnded) return render();
    failed(integration, way, entered, found.failure);
  };
  const tick = setInterval(() => {
    look();
    if (closedAt === null && away.window.closed) closedAt = Date.now();
    if (closedAt !== null && closedAt > 0 && Date.now() - closedAt > GRACE) {
      closedAt = 0;
      showWaiting(true);
    }
  }, EVERY);
  const stop = () => {
    isOver = true;
    clearInterval(tick);
    away.forget();
  };
  away.onback = () => {
    host.event("verifying", { integration: integration.name });
    look();
  };
  showWaiting(false);
}

// The end -----------------------------------------------------------------------------------------------------------

function among(integration, failure, onchoose) {
  const options = failure.choices.map((each, index) => ({
    value: String(index),
    label: each.label ?? Object.values(each.settings).join(", "),
  }));
  const submit = (event) => {
    event.preventDefault();
    const chosen = new FormData(event.target).get("choice");
    onchoose(failure.choices[Number(chosen)].settings);
  };
  views.show(
    `Which one of ${integration.title}?`,
    views.h(
      "form",
      { onsubmit: submit },
      views.radios("There are several. Which one is to be used?", "choice", options, "0"),
      views.buttons(views.button("Connect", null, { primary: true, type: "submit" })),
    ),
  );
}

/** It is linked, and something is left to do: a choice, or a product that has to be asked again. */
function unfinished() {
  const { failure, result } = session;
  const again = async (settings) => {
    views.show(`Connecting ${result.title}`, views.waiting(`${result.title} is asked once more…`));
    try {
      session = await server.again(settings);
    } catch (trouble) {
      session = { ...session, failure: trouble };
    }
    render();
  };
  host.event("failed", { integration: result.integration, error_type: failure.error_type, message: failure.message });
  if (failure.choices) return among(result, failure, again);
  views.show(
    `${result.title} cannot be used yet`,
    views.fault(failure),
    views.buttons(views.button("Try again", () => again({}), { primary: true })),
    foot(),
  );
}

function done() {
  const { result } = session;
  host.success(result);
  const as = result.identity ? [" as ", views.h("strong", {}, result.identity)] : [];
  const missing = result.not_granted.length
    ? views.h("p", { class: "warning" }, `You did not allow: ${result.not_granted.join(", ")}. Some things may not work.`)
    : null;
  views.show(
    "Connected",
    views.h("p", {}, `${result.title} is connected`, ...as, "."),
    whose(),
    views.facts(result.settings),
    result.sandbox ? views.h("p", { class: "note" }, "It only reads.") : null,
    missing,
    ending(),
  );
  document.getElementById("heading").before(views.h("p", { class: "done", "aria-hidden": "true" }, "✓"));
  views.say(`Connected to ${result.title}${result.identity ? ` as ${result.identity}` : ""}.`);
}

function ending() {
  if (host.window) return views.buttons(views.button("Close", leave, { primary: true }));
  if (!session.redirect) return views.h("p", { class: "note" }, "You can close this page.");
  setTimeout(() => location.assign(session.redirect), BEFORE_GOING_ON);
  const onward = views.h("a", { class: "button primary", href: session.redirect }, `Go on to ${session.redirect_host}`);
  return views.buttons(onward);
}

begin();
