// Draws a tree as boxes: as wide as what they hold, callees below their callers. Only what can be seen is
// made, so a tree of any size opens at once.

const ROW = 21;
const NARROWEST = 3;

class Graph {
  // `name(node)` and `kind(node)` say how a box is called and coloured; `onPoint(node)` hears of the box
  // that is looked at, null for none.
  constructor(place, { name, kind, onPoint, onFocus }) {
    Object.assign(this, { place, name, kind, onPoint, onFocus });
    this.boxes = new Map();
    this.matches = null;
    this.isUpward = false;
    const nodeOf = (event) => {
      const box = event.target.closest("[data-node]");
      return box === null ? null : Number(box.dataset.node);
    };
    place.addEventListener("mouseover", (event) => onPoint(nodeOf(event)));
    place.addEventListener("mouseleave", () => onPoint(null));
    place.addEventListener("focusin", (event) => { if (nodeOf(event) !== null) this.reach(nodeOf(event), false); });
    place.addEventListener("click", (event) => { if (nodeOf(event) !== null) this.focus(nodeOf(event)); });
    place.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => {
      if (this.tree && Math.abs(place.clientWidth - this.width) > 3) this.draw();
    }).observe(place);
  }

  show(tree) {
    this.tree = tree;
    this.focused = 0;
    this.reached = 0;
    this.draw();
  }

  focus(node) {
    this.focused = node;
    this.draw();
    this.onFocus(node);
    this.reach(node, true);
  }

  draw() {
    const { tree, place } = this;
    this.width = Math.max(120, place.clientWidth);
    this.boxes.clear();
    const drawn = document.createDocumentFragment();
    const above = [];
    for (let node = tree.parent[this.focused]; node >= 0; node = tree.parent[node]) above.unshift(node);
    above.forEach((node, row) => drawn.append(this.box(node, 0, 1, row, "above")));
    let deepest = above.length;
    const pending = [[this.focused, 0, 1, above.length]];
    while (pending.length > 0) {
      const [node, left, width, row] = pending.pop();
      drawn.append(this.box(node, left, width, row, ""));
      deepest = Math.max(deepest, row);
      const whole = tree.bytes(node);
      let at = left;
      const children = tree.children[node];
      const next = [];
      for (let index = 0; index < children.length; index += 1) {
        const share = whole > 0 ? width * tree.bytes(children[index]) / whole : 0;
        if (share * this.width < NARROWEST) {
          const rest = children.slice(index).reduce((sum, child) => sum + tree.bytes(child), 0);
          const wide = width * rest / whole;
          if (wide * this.width >= NARROWEST) drawn.append(this.small(children.length - index, rest, at, wide, row + 1));
          break;
        }
        next.push([children[index], at, share, row + 1]);
        at += share;
      }
      // Read out from left to right, each with what it called.
      pending.push(...next.reverse());
    }
    place.replaceChildren(drawn);
    place.style.height = `${(deepest + 2) * ROW}px`;
    this.mark();
  }

  put(box, left, width, row) {
    box.style.left = `${100 * left}%`;
    box.style.width = `${100 * width}%`;
    box.style[this.isUpward ? "bottom" : "top"] = `${row * ROW}px`;
  }

  box(node, left, width, row, standing) {
    const { tree } = this;
    const box = document.createElement("div");
    box.className = `box ${this.kind(node)} ${standing}`;
    box.dataset.node = node;
    box.setAttribute("role", "treeitem");
    box.setAttribute("aria-level", String(row + 1));
    box.setAttribute("aria-expanded", "true");
    box.tabIndex = node === this.reached ? 0 : -1;
    const name = this.name(node);
    box.setAttribute("aria-label", `${name}, ${size(tree.bytes(node))}, ${percent(tree.bytes(node), tree.bytes(0))}`);
    if (width * this.width > 24) box.textContent = name;
    this.put(box, left, width, row);
    this.boxes.set(node, box);
    return box;
  }

  small(n, bytes, left, width, row) {
    const box = document.createElement("div");
    box.className = "box small";
    box.title = `${n} smaller, ${size(bytes)} together`;
    if (width * this.width > 70) box.textContent = `${n} smaller`;
    this.put(box, left, width, row);
    return box;
  }

  // Boxes whose names match stand out; all of them, when `matches` is null.
  mark() {
    this.place.classList.toggle("searching", this.matches !== null);
    for (const [node, box] of this.boxes) box.classList.toggle("match", this.matches !== null && this.matches.has(node));
  }

  reach(node, moves) {
    const box = this.boxes.get(node);
    if (box === undefined) return;
    const former = this.boxes.get(this.reached);
    if (former !== undefined) former.tabIndex = -1;
    this.reached = node;
    box.tabIndex = 0;
    if (moves) box.focus({ preventScroll: false });
    this.onPoint(node);
  }

  key(event) {
    const { tree, reached } = this;
    const siblings = reached > 0 ? tree.children[tree.parent[reached]] : [0];
    const at = siblings.indexOf(reached);
    const down = tree.children[reached].find((child) => this.boxes.has(child));
    const steps = {
      ArrowUp: this.isUpward ? down : tree.parent[reached],
      ArrowDown: this.isUpward ? tree.parent[reached] : down,
      ArrowLeft: siblings[at - 1],
      ArrowRight: siblings[at + 1],
      Home: 0,
    };
    if (event.key === "Enter" || event.key === " ") this.focus(reached);
    else if (event.key === "Escape" && this.focused > 0) this.focus(tree.parent[this.focused]);
    else if (event.key in steps) { if (steps[event.key] !== undefined && steps[event.key] >= 0) this.reach(steps[event.key], true); }
    else return;
    event.preventDefault();
  }
}
