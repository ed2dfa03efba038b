// Memory over time, above the graph, and the choice of a part of that time.

const SVG = "http://www.w3.org/2000/svg";

class Strip {
  constructor(place, data, onRange) {
    Object.assign(this, { place, data, onRange, range: null });
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${data.n_slices} 100`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    place.querySelector(".picture").append(this.svg);
    this.ends = [...place.querySelectorAll("input[type=range]")];
    this.ends.forEach((end, index) => {
      end.max = data.n_slices - 1;
      end.value = index * (data.n_slices - 1);
      end.addEventListener("input", () => this.choose(Number(this.ends[0].value), Number(this.ends[1].value), true));
      end.addEventListener("change", () => this.choose(Number(this.ends[0].value), Number(this.ends[1].value), false));
    });
    place.querySelector("button").addEventListener("click", () => this.clear());
    const marks = data.marks.map((mark) => `${mark.name} at ${seconds(mark.at_s)}`);
    place.querySelector(".marks").textContent = marks.length > 0 ? `marked: ${marks.join(", ")}` : "";
    let begun = null;
    const sliceAt = (event) => {
      const { left, width } = this.svg.getBoundingClientRect();
      return Math.max(0, Math.min(data.n_slices - 1, Math.floor((event.clientX - left) / width * data.n_slices)));
    };
    this.svg.addEventListener("pointerdown", (event) => { begun = sliceAt(event); this.svg.setPointerCapture(event.pointerId); });
    this.svg.addEventListener("pointermove", (event) => { if (begun !== null) this.choose(begun, sliceAt(event), true); });
    this.svg.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const ended = sliceAt(event);
      if (ended === begun) this.clear(); else this.choose(begun, ended, false);
      begun = null;
    });
    this.svg.addEventListener("dblclick", () => this.clear());
  }

  clear() {
    this.ends[0].value = 0;
    this.ends[1].value = this.data.n_slices - 1;
    this.choose(0, this.data.n_slices - 1, false);
  }

  choose(one, other, isMoving) {
    const [from, to] = one <= other ? [one, other] : [other, one];
    const isWhole = from === 0 && to === this.data.n_slices - 1;
    this.range = isWhole ? null : [from, to];
    this.ends[0].value = from;
    this.ends[1].value = to;
    this.shade();
    if (!isMoving) this.onRange(this.range);
  }

  shade() {
    const [from, to] = this.range ?? [0, this.data.n_slices - 1];
    this.before.setAttribute("width", String(from));
    this.after.setAttribute("x", String(to + 1));
    this.after.setAttribute("width", String(Math.max(0, this.data.n_slices - to - 1)));
    const { slice_s } = this.data;
    const words = this.range === null ? "the whole recording" : `${seconds(from * slice_s)} to ${seconds((to + 1) * slice_s)}`;
    this.place.querySelector(".chosen").textContent = words;
    this.place.querySelector("button").hidden = this.range === null;
  }

  // Draws the chosen processes: RSS as a line, what was live as an area.
  draw(chosen, live) {
    const { n_slices, slice_s, marks } = this.data;
    const resident = new Float64Array(n_slices);
    for (const process of chosen) process.resident_most.forEach((bytes, slice) => { resident[slice] += bytes; });
    const most = Math.max(1, ...resident, ...live) * 1.06;
    const y = (bytes) => (100 - 100 * bytes / most).toFixed(2);
    const steps = (values) => [...values].map((bytes, slice) => `${slice} ${y(bytes)}L${slice + 1} ${y(bytes)}`).join("L");
    const path = (name, d) => {
      const line = document.createElementNS(SVG, "path");
      line.setAttribute("class", name);
      line.setAttribute("d", d);
      line.setAttribute("vector-effect", "non-scaling-stroke");
      return line;
    };
    const shade = () => {
      const rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("class", "outside");
      rect.setAttribute("height", "100");
      return rect;
    };
    [this.before, this.after] = [shade(), shade()];
    const hasResident = resident.some((bytes) => bytes > 0);
    this.svg.replaceChildren(
      path("live", `M0 100L${steps(live)}L${n_slices} 100Z`),
      ...(hasResident ? [path("rss", `M${steps(resident)}`)] : []),
      ...marks.map((mark) => path("mark", `M${mark.at_s / slice_s} 0V100`)),
      this.before, this.after,
    );
    this.place.querySelector(".most").textContent = size(most);
    this.shade();
  }
}
