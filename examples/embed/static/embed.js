// "Watch" shows the run in the page instead of over it.
const place = document.querySelector("#run");

addEventListener("linkspan-watch", (event) => {
  event.preventDefault();
  if (place.hidden) {
    const run = document.createElement("linkspan-run");
    run.setAttribute("entity", "ticket");
    run.setAttribute("tokens", "/view-token");
    run.setAttribute("entity-id", event.target.id);
    run.title = "What Codex does";
    place.replaceChildren(run);
  }
  place.hidden = false;
  place.scrollIntoView({ block: "start" });
});
