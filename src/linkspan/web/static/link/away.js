// The window that goes to a product. The page that has opened it, of this very server, gives it a ticket; only
// then it sets out, and this browser is the one that may bring the answer back.
import { ask } from "./server.js";

const told = document.getElementById("told");
let isOnItsWay = false;

function say(text) {
  told.textContent = text;
}

async function setOut(ticket) {
  if (isOnItsWay) return;
  isOnItsWay = true;
  try {
    const { url } = await ask("POST", "/link-session/depart", { ticket });
    sessionStorage.setItem("linkspan-window", "popup"); // an opener alone does not tell: a product's page may be one
    location.replace(url);
  } catch (failure) {
    say(`${failure.message} ${failure.hint ?? ""}`);
  }
}

addEventListener("message", (event) => {
  if (event.origin !== location.origin || event.source !== window.opener) return;
  if (event.data?.type === "linkspan:ticket") setOut(event.data.ticket);
  if (event.data?.type === "linkspan:stay") window.close();
});

if (window.opener) {
  window.opener.postMessage({ type: "linkspan:away" }, location.origin);
} else {
  say("This window belongs to a page that is not there any more. Close it, and begin again.");
}
