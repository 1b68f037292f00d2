import { ask } from "./age.js";
import { Gone, text, watch } from "./live.js";
import { view } from "./picture.js";

const study = document.getElementById("study");
const picture = document.getElementById("picture");

const age = document.getElementById("age");

if (picture) view(picture);
if (age) ask(age);

watch(study.dataset.events, async () => {
  if ((await stamp()) === study.dataset.stamp) return;
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
