// What the page asks of the server. A failure is thrown as the object that the server tells.
const TROUBLE = {
  error_type: "connection_error",
  code: "internal",
  message: "The server cannot be reached.",
  hint: "Look at your connection and try again.",
};

export class Server {
  constructor(session, handle) {
    this.session = session;
    this.handle = handle;
  }

  show() {
    return this.#ask("GET", `/link-session/${this.session}`);
  }

  link(attempt) {
    return this.#ask("POST", `/link-session/${this.session}/account`, attempt);
  }

  consent(attempt) {
    return this.#ask("POST", `/link-session/${this.session}/consent`, attempt);
  }

  again(settings) {
    return this.#ask("POST", `/link-session/${this.session}/again`, { settings });
  }

  #ask(method, path, body) {
    return ask(method, path, body, this.handle ? { "Linkspan-Link": this.handle } : {});
  }
}

export async function ask(method, path, body, headers = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, cache: "no-store" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer, told;
  try {
    answer = await fetch(path, options);
    told = await answer.json();
  } catch {
    throw TROUBLE;
  }
  if (answer.ok) return told;
  throw told.failure ?? { ...TROUBLE, message: "The server did not take this." };
}
