// Looks again whenever the box says so, and from time to time by itself in case a message was lost.
const SLOW_MS = 20000;
const RETRY_MS = 5000;

export function watch(address, look) {
  const stale = document.getElementById("stale");
  let source = null;
  let busy = false;
  let again = false;

  async function lookOnce() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await look();
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
    busy = false;
    if (again) {
      again = false;
      lookOnce();
    }
  }

  function open() {
    close();
    source = new EventSource(address);
    source.onmessage = lookOnce;
    source.onerror = () => {
      // The browser reconnects by itself unless the box refused the stream.
      if (source && source.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || open(), RETRY_MS);
    };
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  // A page that nobody sees must not hold one of the few streams of the box.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(() => document.hidden || lookOnce(), SLOW_MS);
  open();
}

export class Gone extends Error {}

export async function text(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (answer.status === 404) throw new Gone();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.text();
}

// What moves away under a finger is not what is pressed: `show` gets new text once the hand is off.
export function watchHandsOff(element, show) {
  let fingers = 0;
  let waiting = null;

  function showOnce() {
    if (waiting === null || fingers > 0) return;
    const page = new DOMParser().parseFromString(waiting, "text/html");
    waiting = null;
    show(page);
  }

  addEventListener("pointerdown", () => fingers++);
  for (const kind of ["pointerup", "pointercancel"]) {
    addEventListener(kind, () => {
      fingers = Math.max(0, fingers - 1);
      setTimeout(showOnce, 50);
    });
  }
  watch(element.dataset.events, async () => {
    waiting = await text(element.dataset.address);
    showOnce();
  });
}
