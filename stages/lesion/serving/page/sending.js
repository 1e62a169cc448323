// Photographs on their way to the server: a few at a time, again where it is busy or away.

const AT_ONCE = 4;
const PAUSE = 1000; // milliseconds between two questions whether the server is back

// The server's reason why it cannot use a photograph.
export class Refusal extends Error {}

const waiting = [];
let sending = 0;
let back = null; // a promise while the server is away
let told = () => {};

// `change(away)` is called when the server goes away, and when it is back.
export function whenAway(change) {
  told = change;
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// The server's JSON for a photograph; `started` is called when its turn has come.
export function segmented(file, options, started = () => {}) {
  return new Promise((resolve, reject) => {
    waiting.push({ file, options, started, resolve, reject });
    next();
  });
}

async function next() {
  if (sending >= AT_ONCE || !waiting.length) return;
  const { file, options, started, resolve, reject } = waiting.shift();
  sending += 1;
  started();
  try {
    const answer = await send(file, options);
    resolve(await answer.json());
  } catch (error) {
    reject(error);
  } finally {
    sending -= 1;
    next();
  }
}

// POSTs a photograph until it is answered; `accept` is a media type, `signal` ends it.
export async function send(file, { accept = "application/json", signal, ...options } = {}) {
  const content = await read(file);
  const headers = { Accept: accept, "Content-Type": "application/octet-stream" };
  for (;;) {
    let answer;
    try {
      const query = new URLSearchParams(options);
      answer = await fetch(`/v1/segment?${query}`, { method: "POST", body: content, headers, signal });
      if (answer.ok) return new Response(await answer.blob(), answer); // wholly here
    } catch (error) {
      if (signal?.aborted) throw error;
      await returned();
      continue;
    }
    if (answer.status !== 503) throw new Refusal(await reason(answer));
    await pause(1000 * (Number(answer.headers.get("Retry-After")) || 1));
    if (signal?.aborted) throw signal.reason;
  }
}

async function read(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Refusal("it cannot be read any more; choose it again");
  }
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

// Until the server answers again; all who wait for that share it.
function returned() {
  back ??= (async () => {
    told(true);
    for (;;) {
      await pause(PAUSE);
      try {
        if ((await fetch("/health")).ok) break;
      } catch {
        // still away
      }
    }
    back = null;
    told(false);
  })();
  return back;
}
