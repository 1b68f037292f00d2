// Pan, zoom, inversion and contours of the picture. Everything is done on the viewBox, so that
// contours stay sharp and thin at any size.
const MOST = 10;
const STEP = 1.5;
const KEYS = {
  "+": "closer", "=": "closer", "-": "farther", 0: "whole", c: "contours", f: "findings", i: "invert",
  l: "window-lung", m: "window-mediastinum", o: "overlay",
};

// Of a stack of slices (`stack`), one finger on the whole picture and the wheel scroll: `drag(dy, height)`, `wheel(dy)`,
// `lift()`. `moved(zoom, x, y)` is told the place that is shown, as shares of the picture, so that another picture,
// which has `follows` and no buttons of its own, can show the same.
export function view(svg, stack = {}) {
  const width = Number(svg.dataset.width);
  const height = Number(svg.dataset.height);
  const fingers = new Map();
  let zoom = 1;
  let middle = [width / 2, height / 2];

  function draw() {
    const w = width / zoom;
    const h = height / zoom;
    middle = [clamp(middle[0], w / 2, width - w / 2), clamp(middle[1], h / 2, height - h / 2)];
    svg.setAttribute("viewBox", `${middle[0] - w / 2} ${middle[1] - h / 2} ${w} ${h}`);
    svg.classList.toggle("enlarged", zoom > 1);
  }

  function tell() {
    if (stack.moved) stack.moved(zoom, middle[0] / width, middle[1] / height);
  }

  function place(x, y) {
    const point = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  // The place of the image under (x, y) stays under (x, y).
  function zoomAt(factor, x, y) {
    const before = place(x, y);
    zoom = clamp(zoom * factor, 1, MOST);
    draw();
    const after = place(x, y);
    middle = [middle[0] + before[0] - after[0], middle[1] + before[1] - after[1]];
    draw();
    tell();
  }

  function zoomMiddle(factor) {
    zoom = clamp(zoom * factor, 1, MOST);
    draw();
    tell();
  }

  function move(dx, dy) {
    const scale = svg.getScreenCTM().a;
    middle = [middle[0] - dx / scale, middle[1] - dy / scale];
    draw();
    tell();
  }

  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });

  svg.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = spread(fingers);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = spread(fingers);
    if (stack.drag && fingers.size === 1 && zoom === 1) {
      stack.drag(after.y - before.y, svg.clientHeight);
      return;
    }
    if (before.distance > 0 && after.distance > 0) zoomAt(after.distance / before.distance, after.x, after.y);
    move(after.x - before.x, after.y - before.y);
  });

  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    svg.addEventListener(kind, (event) => {
      fingers.delete(event.pointerId);
      if (stack.lift) stack.lift();
    });
  }

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    // Two fingers on a touchpad enlarge by a wheel with Control.
    if (stack.wheel && !event.ctrlKey) stack.wheel(event.deltaY);
    else zoomAt(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX, event.clientY);
  });

  svg.addEventListener("keydown", (event) => {
    const button = KEYS[event.key] && document.getElementById(KEYS[event.key]);
    if (button) button.click();
  });

  function follow(nowZoom, x, y) {
    zoom = nowZoom;
    middle = [x * width, y * height];
    draw();
  }

  if (stack.follows) return { follow };
  onClick("closer", () => zoomMiddle(STEP));
  onClick("farther", () => zoomMiddle(1 / STEP));
  onClick("whole", () => zoomMiddle(1 / MOST));
  onClick("contours", (button) => show(["outlines", "legend"], toggle(button)));
  onClick("findings", (button) => show(["marks", "marks-legend"], toggle(button)));
  onClick("invert", (button) => svg.classList.toggle("inverted", toggle(button)));
  return { follow };
}

function onClick(id, act) {
  const button = document.getElementById(id);
  if (button) button.addEventListener("click", () => act(button));
}

function show(ids, on) {
  for (const id of ids) document.getElementById(id).classList.toggle("off", !on);
}

function toggle(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  return on;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// Middle of all fingers, and the mean distance from it (0 for a single finger).
function spread(fingers) {
  const all = [...fingers.values()];
  const x = all.reduce((sum, finger) => sum + finger[0], 0) / all.length;
  const y = all.reduce((sum, finger) => sum + finger[1], 0) / all.length;
  const distance = all.reduce((sum, finger) => sum + Math.hypot(finger[0] - x, finger[1] - y), 0) / all.length;
  return { x, y, distance };
}
