/* Talking to the server. Whatever happens comes back as `{status, data, retryAfterSeconds}`; status 0: it was not reached. */

import { meta } from "./dom.js";

const TIMEOUT_SECONDS = 20;
let csrf = meta("csrf");

export async function request(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json", "X-CSRF-Token": csrf });
  try {
    const response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
    });
    const data = await response.json().catch(() => null);
    const retryAfterSeconds = Number(response.headers.get("Retry-After")) || 0;
    // A proxy's sign-in page or a captive portal answers 200 with HTML: that is not our server.
    return { status: data === null && response.ok ? 0 : response.status, data: data ?? {}, retryAfterSeconds };
  } catch {
    return { status: 0, data: {}, retryAfterSeconds: 0 };
  }
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);

/** A new session has a new token, and this page may be older than the session. True: there is one, try again. */
export async function renewCsrf() {
  try {
    const response = await fetch("/history", { credentials: "same-origin", cache: "no-store" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector('meta[name="csrf"]')?.content;
    const sameAccount = page.querySelector('meta[name="account"]')?.content === meta("account");
    if (!fresh || !sameAccount || fresh === csrf) return false;
    csrf = fresh;
    return true;
  } catch {
    return false;
  }
}
