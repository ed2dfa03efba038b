// What every part of the chosen processes asked for, by the chosen measure, within the chosen time.

// Numbers of one amount, side by side: bytes, count, variance, certain bytes.
const WIDE = 4;

// Adds to `into[part]`.
function addTo(into, part, from, index) {
  into[WIDE * part] += from.bytes[index];
  into[WIDE * part + 1] += from.count[index];
  into[WIDE * part + 2] += from.variance === null ? 0 : from.variance[index];
  into[WIDE * part + 3] += from.certain === null ? from.bytes[index] : from.certain[index];
}

// The bytes that were live at the end of each slice, all chosen processes together.
function liveBySlice(data, chosen) {
  const live = new Float64Array(data.n_slices + 1);
  for (const process of chosen) {
    const { born, gone, amount } = process.survived;
    for (let index = 0; index < born.length; index += 1) {
      live[born[index]] += amount.bytes[index];
      live[Math.min(gone[index], process.ended_slice, data.n_slices)] -= amount.bytes[index];
    }
  }
  for (let slice = 1; slice <= data.n_slices; slice += 1) live[slice] += live[slice - 1];
  return live;
}

// For each chosen process, the amounts of its parts; and what of the time it is that they tell.
// `range` is null for the whole recording, whose peak is known to the event; within a range it is that of
// the ends of slices.
function amounts(data, chosen, measure, range) {
  let peakSlice = null;
  if (range !== null && measure === "peak") {
    const live = liveBySlice(data, chosen);
    peakSlice = range[0];
    for (let slice = range[0]; slice <= range[1]; slice += 1) if (live[slice] > live[peakSlice]) peakSlice = slice;
  }
  const of = chosen.map((process) => {
    const sums = new Float64Array(WIDE * process.stack.length);
    if (range === null) {
      for (let part = 0; part < process.stack.length; part += 1) addTo(sums, part, process[measure], part);
    } else if (measure === "allocated") {
      const { part, born, amount } = process.handed_out;
      for (let index = 0; index < part.length; index += 1) {
        if (born[index] >= range[0] && born[index] <= range[1]) addTo(sums, part[index], amount, index);
      }
    } else {
      const { part, born, gone, amount } = process.survived;
      for (let index = 0; index < part.length; index += 1) {
        const counts = peakSlice === null
          ? born[index] >= range[0] && born[index] <= range[1] && gone[index] > range[1]
          : born[index] <= peakSlice && gone[index] > peakSlice && process.ended_slice > peakSlice;
        if (counts) addTo(sums, part[index], amount, index);
      }
    }
    return sums;
  });
  return { of, peakSlice };
}
