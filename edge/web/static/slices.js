// Decoded slices around the one that is shown. The bound is what keeps the touchscreen alive: a decoded
// slice takes up to 2 MB with its overlay, and a series has up to 800 of them.
const AT_ONCE = 4;

// `room`: how many slices are kept. `ready(number)`: a slice has arrived, or cannot be had.
export function slices(address, count, ready) {
  const kept = new Map();
  let layer = "lung";
  let room = 40;
  let middle = 0;
  let forward = true;
  let busy = 0;

  // The one that is shown, and around it three ahead for each one behind: that is where the finger goes.
  function wanted() {
    const order = [];
    const [ahead, behind] = forward ? [1, -1] : [-1, 1];
    for (let far = 0; order.length < room && far < count; far++) {
      if (far === 0) order.push(middle);
      else for (let step = 3 * far - 2; step <= 3 * far; step++) order.push(middle + ahead * step);
      if (far > 0) order.push(middle + behind * far);
    }
    return order.filter((number) => number >= 1 && number <= count).slice(0, room);
  }

  function fill() {
    if (!middle) return;
    const order = wanted();
    const near = new Set(order);
    for (const number of [...kept.keys()]) if (!near.has(number)) drop(number);
    for (const number of order) {
      if (kept.has(number)) continue;
      if (busy >= AT_ONCE && number !== middle) return;
      load(number);
    }
  }

  async function load(number) {
    const entry = { grey: null, tissue: null, failed: false, stop: new AbortController() };
    kept.set(number, entry);
    busy++;
    const parts = [picture(`${layer}/${number}.jpg`, entry), picture(`tissue/${number}.png`, entry)];
    const [grey, tissue] = await Promise.all(parts);
    busy--;
    entry.failed = !grey;
    if (kept.get(number) === entry) [entry.grey, entry.tissue] = [grey, tissue];
    else for (const late of [grey, tissue]) if (late) late.close();
    if (kept.get(number) === entry) ready(number);
    fill();
  }

  async function picture(name, entry) {
    try {
      const answer = await fetch(address + name, { signal: entry.stop.signal });
      return answer.ok ? await createImageBitmap(await answer.blob()) : null;
    } catch {
      return null;
    }
  }

  function drop(number) {
    const entry = kept.get(number);
    kept.delete(number);
    entry.stop.abort();
    for (const part of [entry.grey, entry.tissue]) if (part) part.close();
  }

  function empty() {
    for (const number of [...kept.keys()]) drop(number);
  }

  return {
    get: (number) => kept.get(number),
    want(number, nowLayer, isForward, most) {
      if (nowLayer !== layer) empty();
      // What could not be had a moment ago may be there now.
      if (kept.has(number) && kept.get(number).failed) drop(number);
      [middle, layer, forward, room] = [number, nowLayer, isForward, most];
      fill();
    },
    forget() {
      middle = 0;
      empty();
    },
  };
}
