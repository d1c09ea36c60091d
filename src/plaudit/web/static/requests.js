/* Talking to the server. Whatever happens comes back as `{status, data, retryAfterSeconds}`; status 0: it was not reached. */

import { meta } from "./dom.js";

const TIMEOUT_SECONDS = 20;
let csrf = meta("csrf");

async function request(method, path, body) {
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
    if (data?.account && data.account !== meta("account")) return startOver();
    // A proxy's error page or a captive portal's sign-in is not our server's word: that is JSON, and a refusal says why.
    const isOurs = data !== null && (response.ok || Boolean(data.error && data.message));
    return { status: isOurs ? response.status : 0, data: isOurs ? data : {}, retryAfterSeconds };
  } catch {
    return { status: 0, data: {}, retryAfterSeconds: 0 };
  }
}

export const get = (path) => request("GET", path);

export async function post(path, body) {
  const answer = await request("POST", path, body);
  return answer.status === 403 && (await renewCsrf()) ? request("POST", path, body) : answer;
}

/** Somebody else has signed in in another tab, and the answer is theirs: so is the page from here on. */
function startOver() {
  location.reload();
  return new Promise(() => {});
}

/** A new session has a new token, and this page may be older than the session. True: there is one, try again. */
async function renewCsrf() {
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
