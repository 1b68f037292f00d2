// The slices of a CT under a finger: dragged, wheeled, by keys, by a slider, by buttons, or from the overview.
import { view } from "./picture.js";
import { slices } from "./slices.js";

const ROOM = 40;
const QUIET_MS = 500;
const WHEEL_PX = 60;
const JUMP = 10;
const KEYS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: JUMP, PageUp: -JUMP, Home: -Infinity, End: Infinity };

const element = (id) => document.getElementById(id);

export function scroll(stack) {
  const count = Number(stack.dataset.slices);
  const matched = (stack.dataset.matched || "").split(" ").map(Number);
  const current = plane("picture", stack, stack.dataset.address, count);
  const prior = element("prior") && plane("prior", stack, stack.dataset.priorAddress, Number(stack.dataset.priorSlices));
  const slider = element("slider");
  let number = Number(stack.dataset.middle);
  let layer = "lung";
  let rest = 0;
  let quiet = 0;

  function show(wanted) {
    const next = Math.min(Math.max(wanted, 1), count);
    const forward = next >= number;
    number = next;
    slider.value = number;
    const words = worded(stack, number, count, stack.dataset.filled);
    slider.setAttribute("aria-valuetext", words);
    for (const line of element("overview").querySelectorAll("line")) {
      for (const end of ["y1", "y2"]) line.setAttribute(end, ((number - 0.5) / count) * Number(element("overview").dataset.height));
    }
    const comparing = isPressed("compare");
    const most = comparing ? ROOM / 2 : ROOM;
    current.show(number, layer, forward, most);
    if (prior && comparing) prior.show(matched[number - 1], layer, forward, most);
    clearTimeout(quiet);
    quiet = setTimeout(() => (element("said").textContent = words), QUIET_MS);
  }

  function drag(dy, height) {
    // Short series move a slice for each 12 px, long ones faster, so that one sweep of a hand crosses most of them.
    const step = Math.min(Math.max((height * 1.5) / count, 3), 12);
    turn(dy, step);
  }

  function turn(way, step) {
    rest += way / step;
    const whole = Math.trunc(rest);
    rest -= whole;
    if (whole) show(number + whole);
  }

  function key(event) {
    const step = KEYS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(number + step);
  }

  const hooks = { drag, wheel: (dy) => turn(Math.sign(dy) * Math.min(Math.abs(dy), WHEEL_PX), WHEEL_PX), lift: () => (rest = 0) };
  const main = view(current.svg, { ...hooks, moved: (...place) => other && other.follow(...place) });
  const other = prior && view(prior.svg, { ...hooks, moved: main.follow, follows: true });
  for (const target of [current.svg, slider, prior && prior.svg]) if (target) target.addEventListener("keydown", key);
  slider.addEventListener("input", () => show(Number(slider.value)));
  element("previous").addEventListener("click", () => show(number - 1));
  element("next").addEventListener("click", () => show(number + 1));
  for (const button of document.querySelectorAll("[data-slice]")) {
    button.addEventListener("click", () => show(Number(button.dataset.slice)));
  }
  onOverview((share) => show(Math.ceil(share * count)));

  for (const name of ["lung", "mediastinum"]) {
    element(`window-${name}`).addEventListener("click", () => {
      layer = name;
      for (const one of ["lung", "mediastinum"]) element(`window-${one}`).setAttribute("aria-pressed", String(one === name));
      show(number);
    });
  }
  element("overlay").addEventListener("click", () => {
    const on = press("overlay");
    for (const id of ["overview-tissue", "tissue-legend"]) element(id).classList.toggle("off", !on);
    show(number);
  });
  if (prior) element("compare").addEventListener("click", () => {
    const on = press("compare");
    element("study").classList.toggle("comparing", on);
    element("prior-plane").hidden = !on;
    if (!on) prior.forget();
    show(number);
  });
  if (!isPressed("overlay")) element("tissue-legend").classList.add("off");
  show(number);
}

// One stack of slices on the page: its canvas, its caption, and what stands there where a slice is missing.
function plane(id, stack, address, count) {
  const canvas = element(`${id}-canvas`);
  const none = element(`${id}-none`);
  const svg = element(id);
  const store = slices(address, count, (number) => number === wanted && draw());
  let wanted = 0;

  function draw() {
    const entry = store.get(wanted);
    const failed = !wanted || (entry && entry.failed);
    if (!failed && !(entry && entry.grey)) return;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!failed) pen.drawImage(entry.grey, 0, 0, canvas.width, canvas.height);
    if (!failed && entry.tissue && isPressed("overlay")) pen.drawImage(entry.tissue, 0, 0, canvas.width, canvas.height);
    none.hidden = !failed;
    none.textContent = failed ? (wanted ? stack.dataset.missing : stack.dataset.unmatched) : "";
    const filled = id === "picture" ? stack.dataset.filled : "";
    const words = wanted ? worded(stack, wanted, count, filled) : "–";
    element(`${id}-number`).textContent = words;
    svg.setAttribute("aria-label", words);
    svg.classList.remove("late");
    const still = svg.querySelector(".still");
    if (still) still.remove();
  }

  return {
    svg,
    show(number, layer, forward, most) {
      wanted = number;
      if (number) store.want(number, layer, forward, most);
      // What is drawn is another slice until this one arrives: it must not pass for it.
      svg.classList.toggle("late", Boolean(number) && !(store.get(number) || {}).grey);
      draw();
    },
    forget() {
      wanted = 0;
      store.forget();
    },
  };
}

function onOverview(jump) {
  const overview = element("overview");
  const to = (event) => {
    const y = new DOMPoint(event.clientX, event.clientY).matrixTransform(overview.getScreenCTM().inverse()).y;
    jump(y / Number(overview.dataset.height));
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    to(event);
  });
  overview.addEventListener("pointermove", (event) => overview.hasPointerCapture(event.pointerId) && to(event));
}

function worded(stack, number, count, filled = "") {
  const words = filled.split(" ").includes(String(number)) ? stack.dataset.wordsFilled : stack.dataset.words;
  return words.replace("{number}", number).replace("{count}", count);
}

function isPressed(id) {
  const button = element(id);
  return button !== null && button.getAttribute("aria-pressed") === "true";
}

function press(id) {
  const on = !isPressed(id);
  element(id).setAttribute("aria-pressed", String(on));
  return on;
}
