import { text, watch } from "./live.js";

const list = document.getElementById("worklist");
let fingers = 0;
let waiting = null;

// A row that moves away under a finger opens the wrong patient: wait until the hand is off.
addEventListener("pointerdown", () => fingers++);
for (const kind of ["pointerup", "pointercancel"]) {
  addEventListener(kind, () => {
    fingers = Math.max(0, fingers - 1);
    setTimeout(show, 50);
  });
}

function show() {
  if (waiting === null || fingers > 0) return;
  const page = new DOMParser().parseFromString(waiting, "text/html");
  waiting = null;
  const rows = [...page.getElementById("rows").children].map(kept);
  document.getElementById("rows").replaceChildren(...rows);
  for (const id of ["before", "after"]) {
    document.getElementById(id).replaceWith(document.importNode(page.getElementById(id), true));
  }
}

// A row that says the same stays the same element: its picture is not asked for again.
function kept(row) {
  const old = document.getElementById(row.id);
  return old && old.outerHTML === row.outerHTML ? old : document.importNode(row, true);
}

watch(list.dataset.events, async () => {
  waiting = await text(list.dataset.address);
  show();
});
