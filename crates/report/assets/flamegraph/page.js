// Wires the choices of the page to what it shows; the page's address remembers them.

(() => {
  const data = JSON.parse(document.getElementById("recording").textContent);
  const at = (id) => document.getElementById(id);
  for (const process of data.processes) {
    process.ended_slice ??= Infinity;
    process.survived.gone = process.survived.gone.map((slice) => slice ?? Infinity);
  }
  const { strings, frames, stacks } = data;

  const remembered = new URLSearchParams(location.hash.slice(1));
  const form = at("choices");
  at("process").append(...data.processes.map((process, index) => new Option(process.label, String(index))));
  for (const field of form.elements) {
    const value = field.name === "" ? null : remembered.get(field.name);
    if (value === null) continue;
    if (field.type === "radio") field.checked = field.value === value;
    else if (field.type === "checkbox") field.checked = value === "on";
    else field.value = value;
  }
  if (at("process").selectedIndex < 0) at("process").value = "";
  const remember = () => {
    const words = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    history.replaceState(null, "", `#${words}`);
  };

  const frameName = (frame) => {
    const file = strings[frames.file[frame]];
    const short = file.split("/").slice(-2).join("/");
    const line = frames.line[frame] > 0 ? `:${frames.line[frame]}` : "";
    return short === "" ? strings[frames.function[frame]] : `${strings[frames.function[frame]]}  ${short}${line}`;
  };
  const imports = frames.file.map((file) => strings[file].startsWith("<frozen importlib"));
  const isImport = (frame) => imports[frame];
  let [tree, mean] = [null, 0];
  const name = (node) => {
    if (tree.group[node] !== null) return tree.group[node];
    return node === 0 ? "all" : frameName(tree.frame[node]);
  };
  const kind = (node) => (tree.frame[node] < 0 ? "group" : frames.kind[tree.frame[node]]);

  const panel = at("panel");
  const point = (looked) => {
    const node = looked ?? graph.focused;
    const frame = tree.frame[node];
    const words = (text, of) => Object.assign(document.createElement("span"), { className: of, textContent: text });
    const { bytes, count } = tree.all(node);
    const parts = [
      words(frame < 0 ? name(node) : strings[frames.function[frame]], "function"),
      words(size(bytes), "bytes"),
      words(between(tree.all(node), mean), "between"),
      words(`${percent(bytes, tree.bytes(0))} of all`, ""),
    ];
    if (graph.focused > 0 && node !== graph.focused) parts.push(words(`${percent(bytes, tree.bytes(graph.focused))} of the focus`, ""));
    parts.push(words(`${Math.round(count).toLocaleString("en")} allocations`, ""));
    if (tree.self[node] > 0 && tree.children[node].length > 0) parts.push(words(`${size(tree.self[node])} itself`, ""));
    if (frame >= 0) {
      const line = frames.line[frame] > 0 ? `:${frames.line[frame]}` : "";
      parts.push(words(`${strings[frames.file[frame]]}${line}`, "file"));
    }
    panel.replaceChildren(...parts);
  };

  const graph = new Graph(at("graph"), { name, kind, onPoint: point, onFocus: () => { at("reset").hidden = graph.focused === 0; search(); } });
  const strip = new Strip(at("strip"), data, () => show());

  // Which lines match what is searched for; null when nothing is.
  const hits = () => {
    const text = at("search").value.trim().toLowerCase();
    if (text === "") return null;
    return frames.function.map((_, frame) => `${strings[frames.function[frame]]} ${strings[frames.file[frame]]}:${frames.line[frame]}`.toLowerCase().includes(text));
  };

  const search = () => {
    const hit = hits();
    const found = at("found");
    graph.matches = null;
    found.textContent = "";
    at("only").disabled = hit === null;
    if (hit !== null) {
      graph.matches = new Set();
      let bytes = 0;
      // Parents come first: what lies below a match is counted with it.
      const within = new Uint8Array(tree.parent.length);
      for (let node = 1; node < tree.parent.length; node += 1) {
        const isHit = tree.frame[node] >= 0 && hit[tree.frame[node]];
        within[node] = within[tree.parent[node]] | isHit;
        if (isHit) graph.matches.add(node);
        if (isHit && within[tree.parent[node]] === 0) bytes += tree.bytes(node);
      }
      found.textContent = `${size(bytes)}, ${percent(bytes, tree.bytes(0))} of all`;
    }
    graph.mark();
  };

  const titles = { peak: "live at the high-water mark", live: "handed out and not given back", allocated: "handed out" };
  const show = () => {
    const chosenNow = form.elements.process.value;
    const chosen = chosenNow === "" ? data.processes : [data.processes[Number(chosenNow)]];
    const measure = form.elements.measure.value;
    mean = Math.max(0, ...chosen.map((process) => process.sample_mean));
    const split = form.elements.split.value;
    const { of, peakSlice } = amounts(data, chosen, measure, strip.range);
    const splitBy = {
      process: (process) => process.label,
      thread: (process, part) => `${process.label}: ${process.threads[process.thread[part]]}`,
      endpoint: (process, part) => data.endpoints[stacks.endpoint[process.stack[part]]],
    }[split] ?? null;
    const hit = at("only").checked ? hits() : null;
    const isBegin = hit === null ? null : (frame) => hit[frame];
    tree = grow(data, chosen, of, { splitBy, isBegin, isInverted: at("inverted").checked, isHidden: at("imports").checked ? isImport : () => false });
    graph.isUpward = at("upward").checked;
    const when = peakSlice !== null ? `, at ${seconds((peakSlice + 1) * data.slice_s)}`
      : measure === "peak" ? `, at ${seconds(data.peak_s)}` : strip.range === null ? "" : " in the chosen time";
    const ofWhat = chosenNow === "" ? "" : ` of ${chosen[0].label}`;
    const byWhom = hit === null ? "" : ` in and below what matches “${at("search").value.trim()}”`;
    at("total").textContent = `${size(tree.bytes(0))} ${titles[measure]}${ofWhat}${when}${byWhom} (${between(tree.all(0), mean)})`;
    at("graph").classList.toggle("empty", tree.children[0].length === 0);
    at("reset").hidden = true;
    graph.show(tree);
    strip.draw(chosen, chosenNow === "" ? data.live_most : chosen[0].live_most);
    search();
    point(null);
    remember();
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", show);
  let typing = 0;
  at("search").addEventListener("input", () => {
    clearTimeout(typing);
    // A tree of a hundred thousand stacks is not grown at every letter.
    typing = setTimeout(() => { if (at("only").checked) show(); else { search(); remember(); } }, 120);
  });
  at("reset").addEventListener("click", () => graph.focus(0));
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT)$/.test(event.target.tagName)) { at("search").focus(); event.preventDefault(); }
  });
  at("tool").hidden = false;
  strip.draw(data.processes, data.live_most);
  show();
  document.body.dataset.drawn = String(graph.boxes.size);
})();
