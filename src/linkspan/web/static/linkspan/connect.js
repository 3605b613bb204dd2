// connect(linkToken, options) shows Linkspan's page, where somebody links an account, over a product's page.
// Its types and options are in ../linkspan.d.ts.

const HOME = new URL("../..", import.meta.url);
const PATIENCE = 15_000; // ms that a loaded frame has to say something; one that may not be shown never does
const GRACE = 1000; // ms that the last message of a window has after the window is gone

/** @type {typeof import("../linkspan.d.ts").connect} */
export const connect = (linkToken, options = {}) => new Promise((resolve, reject) => {
  const { baseUrl = HOME, iframe = true, sameWindow, signal, onEvent } = options;
  signal?.throwIfAborted();
  const page = new URL("connect-account", `${baseUrl}`.replace(/\/?$/, "/"));
  const asked = {
    iframe: sameWindow ? "same" : iframe ? "1" : "0",
    integration: options.integration,
    integrations: options.integrations?.join(),
    auth_format: options.authFormat,
    no_back: options.noBack && "1",
  };
  for (const [name, value] of Object.entries(asked)) if (value) page.searchParams.set(name, value);

  const over = new AbortController();
  const end = (settle, value) => {
    if (over.signal.aborted) return;
    over.abort();
    settle(value);
  };
  const gone = () => end(reject, "closed");
  const view = (sameWindow ? here : iframe ? framed : popup)(options, over.signal, gone);
  if (!view) return end(reject, "blocked");

  let heard = false;
  const loaded = () => setTimeout(() => heard || end(reject, failure(
    "connection_error",
    `Nothing came from ${page.origin}. Do the link token's allowed_origins name ${location.origin}?`,
  )), PATIENCE);
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== view.target() || origin !== page.origin || !data) return;
    const { type, ...told } = data;
    if (type === "linkspan:ready") {
      heard = true;
      view.focus?.();
      source?.postMessage({ type: "linkspan:hello", dialog: iframe === true }, { targetOrigin: origin });
      onEvent?.({ name: "ready" });
    } else if (type === "linkspan:event") onEvent?.(told);
    else if (type === "linkspan:success") end(resolve, told);
    else if (type === "linkspan:error") end(reject, failure(told.error_type, told.message));
    else if (type === "linkspan:closed") gone();
  }, over);
  signal?.addEventListener("abort", () => end(reject, signal.reason), over);

  Promise.resolve(linkToken).then((token) => {
    if (!token) throw failure("invalid_token", "connect() was given no link token");
    page.hash = `${new URLSearchParams({ link_token: token })}`;
    if (!over.signal.aborted) view.show(page.href, loaded);
  }).catch((error) => end(reject, error));
});

const failure = (error_type, message) => Object.assign(new Error(message), { error_type });

const here = () => ({ target: () => null, show: (url) => location.assign(url) });

function popup({ width = 700, height = 800 }, over, gone) {
  // At once, and empty: when the click is over, as after fetching a token, browsers block it.
  const opened = open("about:blank", "_blank", `popup,width=${width},height=${height}`);
  const watch = setInterval(() => opened?.closed && setTimeout(gone, GRACE), 250);
  over.addEventListener("abort", () => (clearInterval(watch), opened?.close()));
  return opened && { target: () => opened, show: (url) => opened.location.replace(url) };
}

/** @param {import("../linkspan.d.ts").Options} options */
function framed({ iframe, width = 560, height = 720, title = "Connect an account" }, over, gone) {
  const frame = Object.assign(document.createElement("iframe"), { title, referrerPolicy: "strict-origin" });
  frame.style.cssText = `display:block;border:0;width:100%;height:${iframe instanceof Element ? height + "px" : "100%"}`;
  const view = (box) => ({
    target: () => frame.contentWindow,
    show: (url, loaded) => box.prepend(Object.assign(frame, { src: url, onload: loaded })),
  });
  over.addEventListener("abort", () => frame.remove());
  if (iframe instanceof Element) return view(iframe);
  const dialog = Object.assign(document.createElement("dialog"), { ariaLabel: title, onclose: gone });
  dialog.style.cssText = `width:${width}px;height:${height}px;padding:0;border:0;border-radius:.75rem;`
    + "overflow:hidden;box-shadow:0 0 0 100vmax #0008;color-scheme:light dark";
  const button = Object.assign(document.createElement("button"), { textContent: "×", ariaLabel: "Close" });
  button.style.cssText = "position:absolute;top:.5rem;right:.5rem;font:1.5rem/2.5rem system-ui;width:2.5rem;"
    + "padding:0;border:0;background:none;color:CanvasText";
  button.onclick = gone;
  dialog.append(button);
  document.body.append(dialog);
  dialog.showModal(); // which gives the focus back when it is closed
  over.addEventListener("abort", () => (dialog.close(), dialog.remove()));
  return { ...view(dialog), focus: () => (button.remove(), frame.focus()) }; // the page has a button of its own
}
