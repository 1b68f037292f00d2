import { ask } from "./age.js";
import { Gone, text, watch } from "./live.js";
import { view } from "./picture.js";
import { scroll } from "./stack.js";

const study = document.getElementById("study");
const picture = document.getElementById("picture");
const stack = document.getElementById("stack");
const age = document.getElementById("age");

if (stack) scroll(stack);
else if (picture) view(picture);
if (age) ask(age);

// An old reading stays as it is; its page says that there is a newer one.
if (study.dataset.old === "no") watch(study.dataset.events, async () => {
  const [now, standing] = (await stamp()).split("\n");
  for (const id of ["provisional", "broken-off"]) document.getElementById(id).hidden = id !== standing;
  if (now === study.dataset.stamp) return;
  // Nobody reads an unfinished page; a finished one must not change under a reader's eyes.
  if (study.dataset.waiting === "yes") location.reload();
  else document.getElementById("newer").hidden = false;
});

document.getElementById("newer").addEventListener("click", () => location.reload());

// An image that turns out to belong to an earlier study moves there, and its own page ends.
async function stamp() {
  try {
    return await text(study.dataset.address);
  } catch (error) {
    if (error instanceof Gone) location.replace("/");
    throw error;
  }
}
