// What is seen. Text only ever becomes text: nothing here parses markup.
const view = document.getElementById("view");
const status = document.getElementById("status");

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show something else, and let whoever cannot see it know by moving to its heading. */
export function show(title, ...children) {
  view.replaceChildren(h("h1", { id: "heading", tabindex: "-1" }, title), ...children.flat().filter(Boolean));
  document.title = title;
  document.getElementById("heading").focus();
}

/** Say something to whoever listens, without moving. */
export function say(text) {
  status.textContent = text;
}

export function fault(failure) {
  return h(
    "div",
    { class: "fault", role: "alert" },
    h("strong", {}, failure.message),
    failure.hint ? ` ${failure.hint}` : "",
  );
}

export function button(text, onclick, { primary = false, type = "button" } = {}) {
  return h("button", { type, class: primary ? "primary" : null, onclick }, text);
}

export function buttons(...all) {
  return h("div", { class: "buttons" }, ...all);
}

export function waiting(text) {
  say(text);
  return h("p", { class: "waiting" }, h("span", { class: "dots", "aria-hidden": "true" }), text);
}

/** The products to choose from, with a search where there are many. */
export function catalogue(integrations, onchoose) {
  const items = integrations.map((each) => {
    const more = each.abilities.length ? h("span", { class: "more" }, each.abilities.join(" · ")) : null;
    const choose = h(
      "button",
      { type: "button", onclick: () => onchoose(each) },
      h("span", { class: "mark", "aria-hidden": "true" }, each.title.slice(0, 1).toUpperCase()),
      h("span", {}, each.title, more),
      h("span", { class: "go", "aria-hidden": "true" }, "→"),
    );
    return { text: `${each.title} ${each.name}`.toLowerCase(), item: h("li", {}, choose) };
  });
  const list = h("ul", { class: "choices" }, ...items.map(({ item }) => item));
  if (integrations.length < 6) return [list];
  const none = h("p", { class: "note", hidden: true }, "Nothing here has that name.");
  const search = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", () => {
    const words = search.value.trim().toLowerCase();
    let found = 0;
    for (const { text, item } of items) {
      item.hidden = !text.includes(words);
      found += item.hidden ? 0 : 1;
    }
    none.hidden = found > 0;
    say(`${found} of ${items.length} shown`);
  });
  return [h("label", { for: "search" }, "Search"), search, none, list];
}

/** One field with its label, what it is for, and what is wrong with it. */
export function field({ id, title, note, wrong, optional = false, ...attributes }) {
  const told = [note ? `${id}-note` : null, wrong ? `${id}-wrong` : null].filter(Boolean).join(" ");
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, title, optional ? h("span", { class: "note" }, " (optional)") : null),
    h("input", {
      id,
      name: id,
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      "aria-describedby": told || null,
      "aria-invalid": wrong ? "true" : null,
      ...attributes,
    }),
    note ? h("p", { id: `${id}-note`, class: "note" }, note) : null,
    wrong ? h("p", { id: `${id}-wrong`, class: "wrong" }, wrong) : null,
  );
}

/** A choice of one among several, as radio buttons. */
export function radios(legend, name, options, chosen, onchange, kind = null) {
  return h(
    "fieldset",
    { class: kind },
    h("legend", {}, legend),
    ...options.map(({ value, label }) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name,
          value,
          checked: value === chosen,
          onchange: () => onchange?.(value),
        }),
        ` ${label}`,
      ),
    ),
  );
}

export function abilities(product, lines) {
  if (!lines.length) return [];
  return [
    h("h2", {}, `${product} will be able to`),
    h("ul", { class: "abilities" }, ...lines.map((line) => h("li", {}, line))),
  ];
}

export function facts(pairs) {
  if (!pairs.length) return null;
  return h("dl", {}, ...pairs.flatMap(({ title, value }) => [h("dt", {}, title), h("dd", {}, value)]));
}

export function help(url, title) {
  if (!url) return null;
  const words = `Where to find it at ${title} (opens a new window)`;
  return h("p", { class: "note" }, h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words));
}
