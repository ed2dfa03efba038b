"use strict";
// Sorting, copying and the chart to look into. The page is whole without it.
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const asWritten = [...body.rows];
    table.tHead.querySelectorAll("th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "sort by this column";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = now === null ? "ascending" : now === "ascending" ? "descending" : null;
        for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
        if (next === null) {
          body.append(...asWritten);
          return;
        }
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const key = (row) => row.cells[column].dataset.key;
        body.append(...[...asWritten].sort((one, other) => {
          const [a, b] = [key(one), key(other)];
          // What was not measured stands last either way.
          if (a === "" || b === "") return (a === "") - (b === "");
          return sign * (column === 0 ? a.localeCompare(b) : Number(a) - Number(b));
        }));
      });
    });
  }

  for (const block of document.querySelectorAll(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    const text = block.querySelector("pre");
    const say = (word) => {
      button.textContent = word;
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    };
    const select = () => {
      getSelection().selectAllChildren(text);
      say(document.execCommand("copy") ? "copied" : "press Ctrl+C");
    };
    button.addEventListener("click", () => {
      if (navigator.clipboard) navigator.clipboard.writeText(text.textContent).then(() => say("copied"), select);
      else select();
    });
    block.append(button);
  }

  const blocks = [...document.querySelectorAll("script.series")];
  if (blocks.length === 0 || typeof uPlot === "undefined") return;
  const closer = document.getElementById("closer");
  const choice = document.getElementById("closer-choice");
  const place = document.getElementById("closer-chart");
  closer.hidden = false;

  const parsed = new Map();
  const trial = (block) => {
    if (!parsed.has(block)) parsed.set(block, JSON.parse(block.textContent));
    return parsed.get(block);
  };
  const arms = new Map();
  for (const block of blocks) {
    const of = arms.get(block.dataset.arm) ?? { blocks: [], name: block.dataset.name };
    of.blocks.push(block);
    arms.set(block.dataset.arm, of);
  }
  choice.append(new Option("every arm, its typical trial", ""));
  for (const [index, arm] of arms) choice.append(new Option(`${arm.name}: all trials`, index));

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ofClass = (name) => colour(`--${name.replace("arm-", "").replace(/^(\d)$/, "c$1")}`);
  const size = (kilobytes) => kilobytes == null ? "–"
    : kilobytes >= 1e6 ? `${+(kilobytes / 1e6).toPrecision(3)} GB` : `${+(kilobytes / 1e3).toPrecision(3)} MB`;
  const palette = ["c0", "c1", "c2", "c3", "c4", "c5", "base", "best"];

  let chart = null;
  const draw = () => {
    const single = choice.value !== "";
    const shown = single ? arms.get(choice.value).blocks.map(trial)
      : [...arms.values()].map((arm) => trial(arm.blocks.find((one) => "typical" in one.dataset) ?? arm.blocks[0]));
    const tables = shown.map((one) => [one.t, one.rss]);
    const series = shown.map((one, index) => ({
      label: single ? one.label : one.arm,
      stroke: single ? colour(`--${palette[index % palette.length]}`) : ofClass(one.class),
      width: one.class === "arm-best" && !single ? 2.4 : 1.4,
      spanGaps: true,
      points: { show: false },
      value: (_, value) => size(value),
    }));
    const typical = shown.find((one) => one.typical);
    if (single && typical && typical.live.length > 0) {
      tables.push([typical.live.map((at) => at[0]), typical.live.map((at) => at[1])]);
      series.push({ label: `${typical.live_label}, ${typical.label}`, stroke: colour("--live"), width: 1.4, dash: [4, 3], spanGaps: true,
        points: { show: true, size: 5 }, value: (_, value) => size(value) });
    }
    const loads = (typical ?? shown[0]).loads;
    const shade = (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.fillStyle = colour("--load");
      for (const [from, until] of loads) {
        const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
        const right = Math.min(bbox.left + bbox.width, plot.valToPos(until, "x", true));
        if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
      }
      ctx.restore();
    };
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule") } };
    const options = {
      width: Math.max(280, place.clientWidth), height: 340,
      scales: { x: { time: false }, y: { range: (_, least, most) => [0, (most || 1) * 1.05] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
        { ...axis, size: 66, values: (_, ticks) => ticks.map((tick) => tick === 0 ? "0" : size(tick)) },
      ],
      series: [{ label: "time", value: (_, at) => at == null ? "–" : `${at.toFixed(1)} s` }, ...series],
      legend: { live: true },
      hooks: { drawClear: [shade] },
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
      focus: { alpha: 0.35 },
    };
    if (chart) chart.destroy();
    place.replaceChildren();
    chart = new uPlot(options, uPlot.join(tables), place);
    place.dataset.series = String(series.length);
  };
  choice.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (chart) draw(); });
  let width = 0;
  new ResizeObserver(() => {
    if (chart && Math.abs(place.clientWidth - width) > 4) chart.setSize({ width: Math.max(280, width = place.clientWidth), height: 340 });
  }).observe(place);
  // After the page itself has been painted.
  setTimeout(draw, 0);
})();
