import { text, watch } from "./live.js";

const shown = document.getElementById("sticks");
let last = null;
let fingers = 0;

// A button that moves away under a finger is not pressed: wait until the hand is off.
addEventListener("pointerdown", () => fingers++);
for (const kind of ["pointerup", "pointercancel"]) {
  addEventListener(kind, () => {
    fingers = Math.max(0, fingers - 1);
    setTimeout(show, 50);
  });
}

function show() {
  if (last === null || fingers > 0) return;
  const page = new DOMParser().parseFromString(last, "text/html");
  last = null;
  if (shown.innerHTML.trim() === page.body.innerHTML.trim()) return;
  const focused = document.activeElement?.closest("form") !== null;
  shown.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  if (focused) shown.querySelector("button, a")?.focus();
}

watch(shown.dataset.events, async () => {
  last = await text(shown.dataset.address);
  show();
});
