import { watchHandsOff } from "./live.js";

// A row that says the same stays the same element: its picture is not asked for again.
function kept(row) {
  const old = document.getElementById(row.id);
  return old && old.outerHTML === row.outerHTML ? old : document.importNode(row, true);
}

watchHandsOff(document.getElementById("worklist"), (page) => {
  const rows = [...page.getElementById("rows").children].map(kept);
  document.getElementById("rows").replaceChildren(...rows);
  for (const id of ["before", "after"]) {
    document.getElementById(id).replaceWith(document.importNode(page.getElementById(id), true));
  }
});
