// The tree that is drawn: one node for each way to a line of code, with all that was asked for below it.

class Tree {
  constructor() {
    this.parent = [-1];
    this.frame = [-1];
    this.group = [null];
    this.sums = [0, 0, 0, 0];
    this.self = [0];
    this.ways = new Map();
  }

  // The node for `frame` called from `node`.
  way(node, frame, nFrames) {
    const key = node * nFrames + frame;
    let child = this.ways.get(key);
    if (child === undefined) {
      child = this.node(node, frame, null);
      this.ways.set(key, child);
    }
    return child;
  }

  node(parent, frame, group) {
    this.parent.push(parent);
    this.frame.push(frame);
    this.group.push(group);
    this.sums.push(0, 0, 0, 0);
    this.self.push(0);
    return this.parent.length - 1;
  }

  add(node, sums, part) {
    for (let at = 0; at < WIDE; at += 1) this.sums[WIDE * node + at] += sums[WIDE * part + at];
    this.self[node] += sums[WIDE * part];
  }

  bytes(node) { return this.sums[WIDE * node]; }

  all(node) {
    const [bytes, count, variance, certain] = this.sums.slice(WIDE * node, WIDE * node + WIDE);
    return { bytes, count, variance, certain };
  }

  // Sums of what is below, and the children of each node, the largest first. Parents have lower numbers
  // than their children.
  finish() {
    const n = this.parent.length;
    this.ways = null;
    for (let node = n - 1; node > 0; node -= 1) {
      const parent = this.parent[node];
      for (let at = 0; at < WIDE; at += 1) this.sums[WIDE * parent + at] += this.sums[WIDE * node + at];
    }
    this.children = Array.from({ length: n }, () => []);
    for (let node = 1; node < n; node += 1) if (this.bytes(node) >= 0.5) this.children[this.parent[node]].push(node);
    for (const children of this.children) children.sort((a, b) => this.bytes(b) - this.bytes(a));
    return this;
  }
}

// `splitBy` says what the first row of boxes is: null, or a function from process and part to a name. Frames
// that are hidden leave what they hold to their callers. Stacks begin with their outermost line of which
// `isBegin` holds, and those without one are left out; all of them whole, when it is null.
function grow(data, chosen, of, { splitBy, isInverted, isHidden, isBegin }) {
  const tree = new Tree();
  const groups = new Map();
  const nFrames = data.frames.function.length;
  const { parent, frame } = data.stacks;
  // Callers have lower numbers than their callees.
  const hasBegun = new Uint8Array(parent.length);
  for (let at = 0; at < parent.length; at += 1) {
    hasBegun[at] = isBegin === null || isBegin(frame[at]) || (parent[at] >= 0 && hasBegun[parent[at]]) ? 1 : 0;
  }
  const isShown = (at) => hasBegun[at] === 1 && !isHidden(frame[at]);
  // From stack to node, for each group of its own.
  const nodesOf = new Map();
  const forward = (root, stack) => {
    if (!nodesOf.has(root)) nodesOf.set(root, new Int32Array(parent.length).fill(-1));
    const nodes = nodesOf.get(root);
    const above = [];
    let at = stack;
    while (at >= 0 && nodes[at] < 0) { above.push(at); at = parent[at]; }
    let node = at < 0 ? root : nodes[at];
    while (above.length > 0) {
      at = above.pop();
      node = nodes[at] = isShown(at) ? tree.way(node, frame[at], nFrames) : node;
    }
    return node;
  };
  const backward = (root, stack) => {
    let node = root;
    for (let at = stack; at >= 0; at = parent[at]) if (isShown(at)) node = tree.way(node, frame[at], nFrames);
    return node;
  };
  chosen.forEach((process, index) => {
    const sums = of[index];
    for (let part = 0; part < process.stack.length; part += 1) {
      if (!(sums[WIDE * part] > 0) || hasBegun[process.stack[part]] === 0) continue;
      let root = 0;
      if (splitBy !== null) {
        const name = splitBy(process, part);
        root = groups.get(name) ?? tree.node(0, -1, name);
        groups.set(name, root);
      }
      const node = (isInverted ? backward : forward)(root, process.stack[part]);
      tree.add(node, sums, part);
    }
  });
  return tree.finish();
}
