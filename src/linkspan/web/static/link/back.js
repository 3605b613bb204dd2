// The window that came back from a product: it tells the page that has opened it, which then asks the server.
// A product may have cut the two apart (COOP); the page finds out by itself, and this window says so.
const { session, onward, linked } = document.body.dataset;
const close = document.getElementById("close");

if (sessionStorage.getItem("linkspan-window") === "popup") {
  close.hidden = false;
  close.addEventListener("click", () => window.close());
  document.getElementById("onward").hidden = true;
  window.opener?.postMessage({ type: "linkspan:back", session }, location.origin);
  if (linked === "yes") setTimeout(() => window.close(), 400);
} else {
  const before = sessionStorage.getItem("linkspan-page"); // with what else the page was told when it was opened
  const isOf = new URLSearchParams(before ?? "").get("session") === session;
  location.replace(isOf ? `/connect-account${before}` : onward);
}
document.getElementById("heading").focus();
