/** What came of it: the same words as those of Truto's link SDK. */
export interface Linked {
  result: "success";
  /** The connector, by its name in tools.yaml. */
  integration: string;
  integrated_account_id: string;
}

/** What somebody is doing on the page. */
export interface LinkEvent {
  name: "ready" | "opened" | "selected" | "authorizing" | "verifying" | "failed";
  integration?: string;
  /** With `failed`: the page stays open, and says this and what to do next. */
  error_type?: string;
  message?: string;
}

/** Why it ended without an account; other ends are the strings "closed" and "blocked", and AbortError. */
export interface LinkError extends Error {
  error_type: string;
}

export interface Options {
  /** The connector to begin with. */
  integration?: string;
  /** The connectors to choose from; left out, those of the link token. */
  integrations?: readonly string[];
  /** The way to connect, where a connector has several. */
  authFormat?: string;
  /** Without a way back from `integration` to the others. */
  noBack?: boolean;
  /** True (the default): in a dialog over this page. An element: in that. False: in a window of its own. */
  iframe?: boolean | Element;
  /** In place of this page: it is left, and the link token's redirect_uri comes back. Never settles. */
  sameWindow?: boolean;
  /** Where Linkspan is reached; left out, where this module was loaded from. */
  baseUrl?: string | URL;
  /** Pixels, at most: 560 by 720 for the dialog, 700 by 800 for a window. */
  width?: number;
  height?: number;
  /** What the dialog and its frame are called for those who hear it: "Connect an account". */
  title?: string;
  /** Closes it; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  onEvent?: (event: LinkEvent) => void;
}

/**
 * Let somebody link an account.
 *
 * Call it in a click. A promise of a link token may be given, so that it can be fetched after the click.
 *
 * It rejects with "closed" (somebody closed it), "blocked" (the browser opened no window), the reason of the
 * signal, or a `LinkError`.
 */
export function connect(linkToken: string | Promise<string>, options?: Options): Promise<Linked>;

/** What an element is asked for by: the attributes that it has. */
export interface Asked {
  id?: string;
  entity?: string | null;
  recipe?: string | null;
  run?: string | null;
  integration?: string | null;
}

/** Of what Linkspan answers, the thing with the address or the token in it. */
export type Given = { url: string } | { link_token: string };

/** What a product's backend answers: Linkspan's own answer to it, the thing in that, or its `url` or `link_token` alone. */
export type Answered = string | Given | { result: Given };

declare class LinkspanElement extends HTMLElement {
  /** In place of the attribute `tokens`: answers what the product's backend was told by Linkspan. */
  getToken?: (asked: Asked) => Promise<Answered>;
}

/** `<linkspan-connect>`: a button that lets somebody link an account. Their attributes and events: docs/embedding.md. */
export class LinkspanConnect extends LinkspanElement {}
/** `<linkspan-fix>`: the button that starts a run on a thing of the product, and says how it goes. */
export class LinkspanFix extends LinkspanElement {}
/** `<linkspan-run>`: a run's page in a frame. */
export class LinkspanRun extends LinkspanElement {}
/** `<linkspan-session>`: a conversation with Codex. */
export class LinkspanSession extends LinkspanElement {}

declare global {
  interface HTMLElementTagNameMap {
    "linkspan-connect": LinkspanConnect;
    "linkspan-fix": LinkspanFix;
    "linkspan-run": LinkspanRun;
    "linkspan-session": LinkspanSession;
  }
}
