import { watchHandsOff } from "./live.js";

const shown = document.getElementById("sticks");

watchHandsOff(shown, (page) => {
  if (shown.innerHTML.trim() === page.body.innerHTML.trim()) return;
  const focused = document.activeElement?.closest("form") !== null;
  shown.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  if (focused) shown.querySelector("button, a")?.focus();
});
